import type { IncomingMessage, ServerResponse } from 'node:http'
import type { CookieOptions, Session, SessionData } from 'express-session'
import { applyRules, flag, type OptionRules, oneOf, optional } from '../config/option-rules.ts'
import { ConfigurationError } from '../core/errors.ts'
import { mintToken } from '../core/token.ts'
import { warnOfInsecureRequest } from '../http/insecure-request.ts'
import {
  COOKIE_RULES,
  type CookieSettings,
  SessionCookie,
  type SessionCookieOptions
} from '../http/session-cookie.ts'
import { ExpressSessionStore, isStored } from './express-session-store.ts'
import { loadPeer } from './peer-dependency.ts'
import type { SessionServiceLike } from './service-source.ts'

export type { SessionCookieOptions } from '../http/session-cookie.ts'
export { ExpressSessionStore, type ExpressSessionStoreOptions } from './express-session-store.ts'
export type { SessionServiceLike } from './service-source.ts'

const session = loadPeer<typeof import('express-session')>('express-session', 'bodhi-session/express')

type RequestHandler = ReturnType<typeof session>
type Request = Parameters<RequestHandler>[0]
type Secret = string | Uint8Array

/** Of a secret that signs cookies: 256 bits, even if every character carried no more than one byte. */
const MIN_SECRET_LENGTH = 32

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
  secret: { ...optional(isSecret, secretsAllowed()), secret: true },
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

/**
 * express-session with our store and our defaults: `app.use(expressSession(sessions, { secret }))`. Of its switches these
 * are set here: `resave: false` and `saveUninitialized: false` (a visitor costs no row and gets no cookie), `genid` (256
 * random bits). Beyond express-session: the cookie lives until the absolute timeout (the store enforces idleness), is
 * cleared at sign-out, and forbids caches to keep the response that sets it; a name that comes twice in one request counts
 * as a stranger's.
 *
 * At sign-in call `req.session.regenerate`, and put the user's id into the new session.
 *
 * @param sessions The service, or the promise of it: requests with a session wait until it is connected, 5 s at most.
 * @throws ConfigurationError where an option is wrong, or unknown to express-session.
 */
export function expressSession<T extends object = Record<string, unknown>>(
  sessions: SessionServiceLike<T>,
  options: ExpressSessionOptions
): RequestHandler {
  const settings = applyRules<Settings>(flatten(options), RULES, '', (name) => `The option ${name}`)
  const { secret, maxAge, httpOnly, rolling, unset, proxy, ...cookieSettings } = settings
  if (secret === undefined) {
    throw new ConfigurationError(`The option secret is missing. It must be ${secretsAllowed()}.`)
  }
  const cookie = new SessionCookie(cookieSettings)
  const cookieOptions: CookieOptions = { ...cookie.attributes, httpOnly }
  if (typeof maxAge === 'number') cookieOptions.maxAge = maxAge
  else if (maxAge === null) Object.assign(cookieOptions, { expires: false })

  const store = new SignOutStore(sessions, { cookie: cookieOptions })
  const middleware = session({
    store,
    name: cookie.name,
    secret: [secret].flat().map((key) => (typeof key === 'string' ? key : Buffer.from(key))),
    cookie: cookieOptions,
    genid: mintToken,
    resave: false,
    saveUninitialized: false,
    rolling,
    unset,
    proxy
  })
  let cookieLifetimeMs: number | undefined
  Promise.resolve(sessions).then(
    (service) => {
      cookieLifetimeMs = service.options.absoluteTimeoutMs
    },
    () => {} // every request that needs the service is told
  )

  return (req, res, next) => {
    // Undefined where an earlier middleware has not run, whatever the type says.
    const earlier: Session | undefined = req.session
    if (earlier) {
      next()
      return
    }
    let held: string | undefined
    // A WebSocket upgrade has no response; its handlers pass an empty object.
    if (typeof res.writeHead === 'function') {
      beforeHeaders(res, () => {
        const current: (Session & Partial<SessionData>) | undefined = req.session
        const sent = amendCookies(res, cookie, {
          isSignedOut: !current && store.signedOut.has(req),
          maxAgeMs: isUnbounded(current) ? cookieLifetimeMs : undefined
        })
        const isUnsent = !sent && current && req.sessionID !== held && Object.keys(current).length > 1
        if (isUnsent && current.cookie?.secure && !isSecure(req, proxy)) {
          warnOfInsecureRequest('express-session', "call app.set('trust proxy', 1)")
        }
      })
    }
    const restore = cookie.isAmbiguousIn(req.headers.cookie) ? hideCookie(req, cookie.name) : undefined
    middleware(req, res, (error?: unknown) => {
      restore?.()
      // A load that failed. With unset: 'destroy' express-session would end the session with the error's response.
      if (error && !req.session) Reflect.deleteProperty(req, 'sessionID')
      if (isStored(req.session, req.sessionID)) held = req.sessionID
      next(error)
    })
  }
}

/** Knows the requests whose session has been destroyed: only then may the cookie go. */
class SignOutStore<T extends object> extends ExpressSessionStore<T> {
  readonly signedOut = new WeakSet<object>()

  override createSession(
    ...[req, data]: Parameters<ExpressSessionStore['createSession']>
  ): Session & SessionData {
    const loaded = super.createSession(req, data)
    const { signedOut } = this
    const { destroy } = loaded
    Object.defineProperty(loaded, 'destroy', {
      configurable: true,
      writable: true,
      value(this: Session, callback?: (error: unknown) => void) {
        const settle = (error: unknown) => {
          if (!error) signedOut.add(req)
          callback?.(error)
        }
        // Without a callback the store must see that there is none, to report a failure.
        return Reflect.apply(destroy, this, [callback && settle])
      }
    })
    return loaded
  }
}

/**
 * Runs once, when the headers are about to be sent. Installed before express-session's own hook, it runs after that one:
 * each wraps what it finds.
 */
function beforeHeaders(res: ServerResponse, amend: () => void): void {
  const { writeHead } = res
  let isDone = false
  Object.assign(res, {
    writeHead(...args: unknown[]): ServerResponse {
      if (!isDone) {
        isDone = true
        amend()
      }
      return Reflect.apply(writeHead, res, args)
    }
  })
}

/** @returns Whether the response sets the session cookie. */
function amendCookies(
  res: ServerResponse,
  cookie: SessionCookie,
  { isSignedOut, maxAgeMs }: { isSignedOut: boolean; maxAgeMs: number | undefined }
): boolean {
  const values = [res.getHeader('Set-Cookie') ?? []].flat().map(String)
  const index = values.findIndex((value) => value.startsWith(`${cookie.name}=`))
  const own = values[index]
  if (own === undefined && !isSignedOut) return false
  if (own === undefined) {
    res.setHeader('Set-Cookie', [...values, cookie.serialiseCleared()])
  } else if (maxAgeMs !== undefined && !/;\s*(expires|max-age)=/i.test(own)) {
    res.setHeader('Set-Cookie', values.with(index, `${own}; Max-Age=${Math.ceil(maxAgeMs / 1000)}`))
  }
  // A shared cache would hand the session to the next visitor (CVE-2025-48947).
  res.setHeader('Cache-Control', 'no-store')
  return true
}

/** Whether the session's cookie asks for no lifetime of its own; `false` asks for one: the browser's. */
function isUnbounded(current: Partial<SessionData> | undefined): boolean {
  const expires: unknown = current?.cookie?.expires
  return current !== undefined && (expires === null || expires === undefined)
}

/** As express-session decides it. */
function isSecure(req: IncomingMessage, proxy: boolean | undefined): boolean {
  if (Reflect.get(req.socket, 'encrypted')) return true
  if (proxy !== true) return proxy === undefined && Reflect.get(req, 'secure') === true
  const [proto] = String(req.headers['x-forwarded-proto'] ?? '').split(',')
  return proto?.trim().toLowerCase() === 'https'
}

/** Hides the cookie from express-session, which would take the first one. Gives back what shows the header again. */
function hideCookie(req: Request, name: string): () => void {
  const { cookie } = req.headers
  delete req.headers.cookie
  // Where cookie-parser puts what express-session looks through next.
  for (const parsed of [req.cookies, req.signedCookies]) {
    if (typeof parsed === 'object' && parsed !== null) Reflect.deleteProperty(parsed, name)
  }
  return () => {
    if (cookie !== undefined) req.headers.cookie = cookie
  }
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

function secretsAllowed(): string {
  return (
    `${MIN_SECRET_LENGTH} characters or more (or an array of such, the first of which signs), for instance what ` +
    `"openssl rand -base64 32" prints`
  )
}
