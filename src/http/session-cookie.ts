import { applyRules, flag, type OptionRules, oneOf, optional, text } from '../config/option-rules.ts'
import { ConfigurationError } from '../core/errors.ts'

/** BodhiApp's name for it. */
export const DEFAULT_COOKIE_NAME = 'bodhiapp_session_id'

/** How the session cookie looks. It is always `HttpOnly`: no script needs it. */
export interface SessionCookieOptions {
  /**
   * The cookie's name, used as it is.
   * @default 'bodhiapp_session_id'
   */
  readonly name?: string | undefined
  /**
   * Whether the browser sends it over HTTPS only. Turn it off for plain HTTP in development only, for instance with
   * `secure: process.env.NODE_ENV === 'production'`.
   * @default true
   */
  readonly secure?: boolean | undefined
  /**
   * 'strict' never sends it on a request that another site started. A sign-in that comes back from another site
   * (OAuth, SAML, a link in an e-mail) needs 'lax'. 'none' needs `secure`, and protection against CSRF elsewhere.
   * @default 'strict'
   */
  readonly sameSite?: 'strict' | 'lax' | 'none' | undefined
  /** @default '/' */
  readonly path?: string | undefined
  /** The domain whose subdomains get it too. Default: none, so that only this very host gets it. */
  readonly domain?: string | undefined
  /**
   * Put before the name: the browser then refuses the cookie where another subdomain or a plain HTTP page tries to
   * plant one. '__Host-' needs `secure`, `path: '/'` and no `domain`; '__Secure-' needs `secure`.
   * @default none
   */
  readonly prefix?: '__Host-' | '__Secure-' | undefined
  /** Whether it belongs to the embedding site (CHIPS). Needs `secure`. @default false */
  readonly partitioned?: boolean | undefined
}

/** What a request's Cookie header says about one cookie. */
export interface CookieReading {
  /** Whether the name is there at all. */
  readonly isPresent: boolean
  /** Its value; undefined where there is none, or more than one. */
  readonly value: string | undefined
}

/** What a cookie is cleared with as it was set. */
export interface CookieAttributes {
  readonly secure: boolean
  readonly sameSite: 'strict' | 'lax' | 'none'
  readonly path: string
  readonly domain: string | undefined
  readonly partitioned: boolean
}

/** The cookie's options, defaults filled in. */
export interface CookieSettings extends CookieAttributes {
  readonly name: string
  readonly prefix: SessionCookieOptions['prefix']
}

/** RFC 9110, "token". */
const COOKIE_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/
/** RFC 6265bis, 4.1.1: any character but controls and the semicolon. */
const COOKIE_PATH = /^\/[\x20-\x3a\x3c-\x7e]{0,1023}$/
const COOKIE_DOMAIN =
  /^\.?(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i

const EPOCH = 'Thu, 01 Jan 1970 00:00:00 GMT'
const SAME_SITE = { strict: 'Strict', lax: 'Lax', none: 'None' } as const

/** The rules of the cookie's options, for adapters that add their own. */
export const COOKIE_RULES: OptionRules<
  CookieAttributes & Pick<SessionCookieOptions, 'prefix'> & { name: string }
> = {
  name: text(
    DEFAULT_COOKIE_NAME,
    (value) => COOKIE_NAME.test(value),
    "1 to 256 ASCII letters, digits or any of !#$%&'*+-.^_`|~"
  ),
  secure: flag(true),
  sameSite: oneOf('strict', ['strict', 'lax', 'none']),
  path: text(
    '/',
    (value) => COOKIE_PATH.test(value),
    "a path that starts with '/', without ';' and control characters"
  ),
  domain: optional((value) => typeof value === 'string' && COOKIE_DOMAIN.test(value), 'a domain name'),
  prefix: optional((value) => value === '__Host-' || value === '__Secure-', "'__Host-' or '__Secure-'"),
  partitioned: flag(false)
}

/**
 * The session cookie: read, set and cleared in one place. Its value is the token as it is, which needs no encoding, so
 * nothing is decoded either: a value with broken percent signs or quotes is simply an unknown token.
 *
 * Own code in place of the package `cookie`, which cannot tell that a name came twice, and is an ES module only.
 */
export class SessionCookie {
  /** The full name, prefix included. */
  readonly name: string
  readonly attributes: CookieAttributes
  readonly #tail: string

  /** @throws ConfigurationError for options that a browser would refuse, which it does without a word. */
  constructor(options: SessionCookieOptions | undefined) {
    const { name, prefix, ...attributes } = applyRules(
      options,
      COOKIE_RULES,
      '',
      (option) => `The cookie option ${option}`
    )
    this.name = prefix === undefined || name.startsWith(prefix) ? name : prefix + name
    this.attributes = attributes
    checkBrowserRules(this.name, attributes)
    this.#tail = [
      `; Path=${attributes.path}`,
      attributes.domain === undefined ? '' : `; Domain=${attributes.domain}`,
      '; HttpOnly',
      attributes.secure ? '; Secure' : '',
      attributes.partitioned ? '; Partitioned' : '',
      `; SameSite=${SAME_SITE[attributes.sameSite]}`
    ].join('')
  }

  /**
   * Reads a Cookie header. A name that comes twice has no value: the second may have been planted by a neighbour, for
   * another path or by another subdomain, and nothing tells the right one.
   */
  read(header: string | null | undefined): CookieReading {
    let reading: CookieReading = { isPresent: false, value: undefined }
    // Most requests with cookies of other names end here.
    if (!header?.includes(this.name)) return reading
    for (const pair of header.split(';')) {
      const equals = pair.indexOf('=')
      if (equals === -1 || trimBlanks(pair.slice(0, equals)) !== this.name) continue
      if (reading.isPresent) return { isPresent: true, value: undefined }
      reading = { isPresent: true, value: trimBlanks(pair.slice(equals + 1)) }
    }
    return reading
  }

  /** Whether the name comes more than once, so that the request must count as a stranger's. */
  isAmbiguousIn(header: string | null | undefined): boolean {
    const { isPresent, value } = this.read(header)
    return isPresent && value === undefined
  }

  /** A Set-Cookie value that hands out the token for `maxAgeMs`, rounded up to seconds. */
  serialise(token: string, maxAgeMs: number): string {
    return `${this.name}=${token}; Max-Age=${Math.max(0, Math.ceil(maxAgeMs / 1000))}${this.#tail}`
  }

  /** A Set-Cookie value that removes the cookie: with its own attributes, or the browser would keep it. */
  serialiseCleared(): string {
    return `${this.name}=; Max-Age=0; Expires=${EPOCH}${this.#tail}`
  }
}

/** Only space and tab. `trim` would take more, and so read a cookie named U+00A0 `__Host-…`, which anyone may plant. */
function trimBlanks(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && isBlank(text.charCodeAt(start))) start++
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}

function checkBrowserRules(
  name: string,
  { secure, sameSite, path, domain, partitioned }: CookieAttributes
): void {
  const lowerCase = name.toLowerCase() // browsers compare prefixes without regard to case
  if (!secure) {
    const needs = lowerCase.startsWith('__host-')
      ? 'The cookie prefix __Host-'
      : lowerCase.startsWith('__secure-')
        ? 'The cookie prefix __Secure-'
        : sameSite === 'none'
          ? "The cookie option sameSite: 'none'"
          : partitioned
            ? 'The cookie option partitioned'
            : undefined
    if (needs !== undefined) {
      throw new ConfigurationError(
        `${needs} needs secure: true: browsers drop the cookie otherwise. Set both only where the site is served over HTTPS.`
      )
    }
  }
  if (lowerCase.startsWith('__host-') && (path !== '/' || domain !== undefined)) {
    throw new ConfigurationError(
      "The cookie prefix __Host- needs path: '/' and no domain: browsers drop the cookie otherwise. " +
        'Leave both options out, or use __Secure-.'
    )
  }
}
