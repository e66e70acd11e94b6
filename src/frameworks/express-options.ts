import type { CookieOptions } from 'express-session'
import { applyRules, flag, type OptionRules, oneOf, optional } from '../config/option-rules.ts'
import { ConfigurationError } from '../core/errors.ts'
import {
  COOKIE_RULES,
  type CookieSettings,
  SessionCookie,
  type SessionCookieOptions
} from '../http/session-cookie.ts'

type Secret = string | Uint8Array

/** Of a secret that signs cookies: 256 bits, even if every character carried no more than one byte. */
const MIN_SECRET_LENGTH = 32
const SECRET_ALLOWED =
  `${MIN_SECRET_LENGTH} characters or more (or an array of such, the first of which signs), for instance what ` +
  `"openssl rand -base64 32" prints`

/** The cookie's options of express-session; each may also stand beside `secret`. */
export interface ExpressCookieOptions extends Omit<SessionCookieOptions, 'name' | 'prefix'> {
  /**
   * Milliseconds that a session may stay unused, and that the browser keeps the cookie, counted from when it was last
   * sent: set `rolling: true` with it. null: a cookie that dies with the browser. `req.session.cookie.maxAge` sets it for
   * one session.
   *
   * Default: none. The service's idle timeout holds, and the browser keeps the cookie until the absolute timeout.
   */
  readonly maxAge?: number | null | undefined
  /** Always true: no script needs the cookie. */
  readonly httpOnly?: true | undefined
}

export interface ExpressSessionOptions extends SessionCookieOptions, ExpressCookieOptions {
  /**
   * Signs the cookie: 32 characters or more, for instance what `openssl rand -base64 32` prints. With an array the first
   * one signs and all of them are accepted, so that a secret can be replaced without signing anybody out.
   */
  readonly secret: Secret | readonly Secret[]
  /** The cookie's options in the place where express-session has them. None may be given in both. */
  readonly cookie?: ExpressCookieOptions | undefined
  /**
   * Whether the cookie is sent with every response, so that `maxAge` counts from the last one in the browser too. The
   * session itself lives on with every request in any case.
   * @default false
   */
  readonly rolling?: boolean | undefined
  /**
   * What `req.session = null` means: 'destroy' ends the session when the response ends.
   * @default 'keep'
   */
  readonly unset?: 'destroy' | 'keep' | undefined
  /** Whether to trust `X-Forwarded-Proto`. Default: what Express's 'trust proxy' says. */
  readonly proxy?: boolean | undefined
}

interface Settings extends CookieSettings {
  readonly secret: ExpressSessionOptions['secret'] | undefined
  readonly maxAge: number | null | undefined
  readonly httpOnly: boolean
  readonly rolling: boolean
  readonly unset: 'destroy' | 'keep'
  readonly proxy: boolean | undefined
}

const RULES: OptionRules<Settings> = {
  ...COOKIE_RULES,
  secret: { ...optional(isSecret, SECRET_ALLOWED), secret: true },
  maxAge: optional(
    (value) => value === null || (typeof value === 'number' && Number.isFinite(value) && value >= 1),
    'a number of milliseconds, 1 or more, or null'
  ),
  httpOnly: {
    fallback: true,
    accepts: (value) => value === true,
    allowed: 'true: no script needs the cookie'
  },
  rolling: flag(false),
  unset: oneOf('keep', ['keep', 'destroy']),
  proxy: optional((value) => typeof value === 'boolean', 'true or false')
}

/** What express-session is set up with. */
export interface ExpressSettings {
  readonly cookie: SessionCookie
  readonly cookieOptions: CookieOptions
  readonly secrets: Array<string | Buffer>
  readonly rolling: boolean
  readonly unset: 'destroy' | 'keep'
  readonly proxy: boolean | undefined
}

/** @throws ConfigurationError */
export function resolveExpressOptions(options: ExpressSessionOptions): ExpressSettings {
  const settings = applyRules<Settings>(flatten(options), RULES, '', (name) => `The option ${name}`)
  const { secret, maxAge, httpOnly, rolling, unset, proxy, ...cookieSettings } = settings
  if (secret === undefined) {
    throw new ConfigurationError(`The option secret is missing. It must be ${SECRET_ALLOWED}.`)
  }
  const cookie = new SessionCookie(cookieSettings)
  const cookieOptions: CookieOptions = { ...cookie.attributes, httpOnly }
  if (typeof maxAge === 'number') cookieOptions.maxAge = maxAge
  else if (maxAge === null) Object.assign(cookieOptions, { expires: false })
  const secrets = [secret].flat().map((key) => (typeof key === 'string' ? key : Buffer.from(key)))
  return { cookie, cookieOptions, secrets, rolling, unset, proxy }
}

function flatten(options: unknown): unknown {
  if (typeof options !== 'object' || options === null || !('cookie' in options)) return options
  const { cookie, ...others } = options
  if (cookie === undefined) return others
  if (typeof cookie !== 'object' || cookie === null) {
    throw new ConfigurationError('The option cookie must be an object of cookie options.')
  }
  const twice = Object.keys(cookie).find((name) => name in others)
  if (twice === undefined) return { ...cookie, ...others }
  throw new ConfigurationError(
    `The option ${twice} is given twice: beside cookie and within it. Leave one out.`
  )
}

function isSecret(value: unknown): boolean {
  if (Array.isArray(value))
    return value.length > 0 && value.every((one) => !Array.isArray(one) && isSecret(one))
  return (typeof value === 'string' || value instanceof Uint8Array) && value.length >= MIN_SECRET_LENGTH
}
