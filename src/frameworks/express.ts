import type { IncomingMessage, ServerResponse } from 'node:http'
import type expressSessionModule from 'express-session'
import type { Session, SessionData } from 'express-session'
import { mintToken } from '../core/token.ts'
import { warnOfInsecureRequest } from '../http/insecure-request.ts'
import type { SessionCookie } from '../http/session-cookie.ts'
import { type ExpressSessionOptions, resolveExpressOptions } from './express-options.ts'
import { type CommitState, ResponseHold } from './express-response.ts'
import { ExpressSessionStore, isStored } from './express-session-store.ts'
import { loadPeer } from './peer-dependency.ts'
import type { SessionServiceLike } from './service-source.ts'

export type { SessionCookieOptions } from '../http/session-cookie.ts'
export type { ExpressCookieOptions, ExpressSessionOptions } from './express-options.ts'
export { ExpressSessionStore, type ExpressSessionStoreOptions } from './express-session-store.ts'
export type { SessionServiceLike } from './service-source.ts'

const session = loadPeer<typeof expressSessionModule>('express-session', 'bodhi-session/express')

type RequestHandler = ReturnType<typeof session>
type Request = Parameters<RequestHandler>[0]

/**
 * express-session with our store and our defaults: `app.use(expressSession(sessions, { secret }))`. Of its switches these
 * are set here: `resave: false` and `saveUninitialized: false` (a visitor costs no row and gets no cookie), `genid` (256
 * random bits). Beyond express-session: the cookie lives until the absolute timeout (the store enforces idleness), is
 * cleared at sign-out, and forbids caches to keep the response that sets it; a name that comes twice in one request counts
 * as a stranger's; a response leaves when its session is stored, and where that fails the error is answered in its place.
 * The whole session is saved: of two parallel requests that change it the last one to end wins.
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
  const { cookie, cookieOptions, secrets, rolling, unset, proxy } = resolveExpressOptions(options)
  const store = new SignOutStore(sessions, { cookie: cookieOptions })
  const middleware = session({
    store,
    name: cookie.name,
    secret: secrets,
    cookie: cookieOptions,
    genid: mintToken,
    resave: false,
    saveUninitialized: false,
    rolling,
    unset,
    proxy
  })
  let cookieLifetimeMs: number | undefined
  Promise.resolve(sessions)
    .then((service) => {
      cookieLifetimeMs = service.options.absoluteTimeoutMs
    })
    .catch(() => {}) // every request that needs the service is told

  return (req, res, next) => {
    // Undefined where an earlier middleware has not run, whatever the type says.
    const earlier: Session | undefined = req.session
    if (earlier) {
      next()
      return
    }
    let held: string | undefined
    // A WebSocket upgrade has no response; its handlers pass an empty object.
    const hold = typeof res.writeHead === 'function' ? new ResponseHold(res, amend) : undefined
    const restore = cookie.isAmbiguousIn(req.headers.cookie) ? hideCookie(req, cookie.name) : undefined
    middleware(req, res, (error?: unknown) => {
      restore?.()
      if (error) {
        if (hold?.abandon()) {
          store.report(error)
          return
        }
        // A load that failed. With unset: 'destroy' express-session would end the session with the error's response.
        if (!req.session) Reflect.deleteProperty(req, 'sessionID')
      } else {
        hold?.guardEnd()
        if (isStored(req.session, req.sessionID)) held = req.sessionID
      }
      next(error)
    })

    function amend(state: CommitState): void {
      if (state === 'failed') {
        withdrawCookie(res, cookie.name)
        return
      }
      const current: (Session & Partial<SessionData>) | undefined = req.session
      const isEnded = store.signedOut.has(req) || (state === 'committed' && unset === 'destroy')
      const isSent = amendCookies(res, cookie, {
        isSignedOut: held !== undefined && !current && isEnded,
        maxAgeMs: isUnbounded(current) ? cookieLifetimeMs : undefined
      })
      const isKeptBack = !isSent && current && req.sessionID !== held && Object.keys(current).length > 1
      if (isKeptBack && current.cookie?.secure && !isSecure(req, proxy)) {
        warnOfInsecureRequest('express-session', "call app.set('trust proxy', 1)")
      }
    }
  }
}

/** Knows the requests whose session has been destroyed: only then may the cookie go. */
class SignOutStore<T extends object> extends ExpressSessionStore<T> {
  readonly signedOut = new WeakSet<object>()

  /** For a failure that no response tells of, because it is one already. */
  report(error: unknown): void {
    this.reportUnheard(error)
  }

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

/** A cookie of a session that could not be stored. */
function withdrawCookie(res: ServerResponse, name: string): void {
  const values = [res.getHeader('Set-Cookie') ?? []].flat().map(String)
  const others = values.filter((value) => !value.startsWith(`${name}=`))
  if (others.length === 0) res.removeHeader('Set-Cookie')
  else res.setHeader('Set-Cookie', others)
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
