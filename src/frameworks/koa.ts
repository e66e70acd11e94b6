import type Koa from 'koa'
import { applyRules, flag, type OptionRules, optional } from '../config/option-rules.ts'
import { ConfigurationError } from '../core/errors.ts'
import { mintToken } from '../core/token.ts'
import { warnOfInsecureRequest } from '../http/insecure-request.ts'
import {
  COOKIE_RULES,
  type CookieSettings,
  SessionCookie,
  type SessionCookieOptions
} from '../http/session-cookie.ts'
import { type KoaSessionCall, KoaSessionStore } from './koa-session-store.ts'
import { loadPeer } from './peer-dependency.ts'
import { type SessionServiceLike, serviceSource } from './service-source.ts'

export type { SessionCookieOptions } from '../http/session-cookie.ts'
export { KoaSessionStore } from './koa-session-store.ts'
export type { SessionServiceLike } from './service-source.ts'

/** Of a key that signs cookies: 256 bits, even if every character carried no more than one byte. */
const MIN_KEY_LENGTH = 32

export interface KoaSessionOptions extends SessionCookieOptions {
  /**
   * Whether the cookie is signed with `app.keys`. Tokens cannot be guessed, signed or not; a signature spares the store
   * the question about forged ones.
   * @default true
   */
  readonly signed?: boolean | undefined
  /** koa-session's own: where it returns false, the request starts without its session. */
  readonly valid?: ((ctx: Koa.Context, data: Record<string, unknown>) => boolean) | undefined
}

/** What koa-session puts beside the application's data. */
export interface KoaSessionMethods {
  readonly isNew: boolean
  /** This session's own idle timeout in milliseconds; 'session' or undefined: the service's. */
  maxAge: number | 'session' | undefined
  /** Gives the session a new token and keeps its data: call it at every sign-in. */
  regenerate(): Promise<void>
  /** Stores the session now, and not only after the handler. */
  save(): Promise<void>
}

/** The context of an app with sessions: `new Koa<Koa.DefaultState, KoaSessionContext<MyData>>()`. */
export interface KoaSessionContext<T extends object = Record<string, unknown>> {
  /** Set it to null to end the session. */
  session: (Partial<T> & KoaSessionMethods) | null
}

type KoaRules = CookieSettings & { readonly signed: boolean; readonly valid: KoaSessionOptions['valid'] }

const RULES: OptionRules<KoaRules> = {
  ...COOKIE_RULES,
  signed: flag(true),
  valid: optional((value) => typeof value === 'function', 'a function')
}

/**
 * koa-session with our store and our defaults: `app.use(koaSession(app, sessions))`. Of its switches these are set here:
 * `rolling: true` (each request extends the idle timeout, by a touch that mostly costs nothing), `renew: false`, `genid` (256
 * random bits), `maxAge` (the service's lifetimes hold), and the cookie, which is sent when a session is made, regenerated or
 * ended, and lives until the absolute timeout.
 *
 * @param sessions The service, or the promise of it.
 * @throws ConfigurationError where koa-session is not installed, `app.keys` are missing or too short, or an option is wrong.
 */
export function koaSession<T extends object = Record<string, unknown>>(
  app: Pick<Koa, 'keys'>,
  sessions: SessionServiceLike<T>,
  options?: KoaSessionOptions
): Koa.Middleware<Koa.DefaultState, KoaSessionContext<T>> {
  const { signed, valid, ...settings } = applyRules(options, RULES, '', (option) => `The option ${option}`)
  const cookie = new SessionCookie(settings)
  if (signed) checkKeys(app.keys)
  const { createSession } = loadPeer<typeof import('koa-session')>('koa-session', 'bodhi-session/koa')
  const service = serviceSource(sessions)
  const store = new KoaSessionStore(sessions)
  /** The token that the browser holds, by request. */
  const held = new WeakMap<object, string>()
  let absoluteTimeoutMs = 0

  const attributes = { ...cookie.attributes, signed, httpOnly: true, overwrite: true }
  const koaOptions = {
    ...attributes,
    key: cookie.name,
    maxAge: 'session' as const,
    rolling: true,
    renew: false,
    autoCommit: true,
    genid: mintToken,
    ...(valid && { valid }),
    store: {
      get: (key: string, maxAge: unknown, call: KoaSessionCall) => store.get(key, maxAge, call),
      async set(key: string, data: object, maxAge: unknown, call: KoaSessionCall & { ctx?: Koa.Context }) {
        const { ctx } = call
        if (ctx !== undefined && settings.secure && !ctx.secure && held.get(ctx) !== key) refuseInsecure()
        await store.set(key, data, maxAge, call)
        absoluteTimeoutMs = (await service()).options.absoluteTimeoutMs
      },
      destroy: (key: string, call: KoaSessionCall) => store.destroy(key, call)
    },
    externalKey: {
      get(ctx: Koa.Context) {
        const token = cookie.isAmbiguousIn(ctx.req.headers.cookie)
          ? undefined
          : ctx.cookies.get(cookie.name, { signed })
        if (token) held.set(ctx, token)
        return token ?? ''
      },
      // Called at every save; the browser needs the cookie only where the token is a new one.
      set(ctx: Koa.Context, token: string) {
        if (held.get(ctx) === token) return
        held.set(ctx, token)
        ctx.cookies.set(cookie.name, token, { ...attributes, maxAge: absoluteTimeoutMs })
      }
    }
  }
  const middleware = createSession(koaOptions, app)

  return async (ctx, next) => {
    let failure: { readonly error: unknown } | undefined
    try {
      await middleware(ctx, async () => {
        try {
          await next()
        } catch (error) {
          failure = { error }
          throw error
        }
      })
    } catch (error) {
      // koa-session commits in `finally`: where that fails too, its error would hide the handler's.
      if (failure === undefined || failure.error === error) throw error
      ctx.app.emit('error', error, ctx)
      throw failure.error
    }
    const cookies = ctx.response.headers['set-cookie']
    if ([cookies].flat().some((value) => value?.toString().startsWith(`${cookie.name}=`))) {
      ctx.set('Cache-Control', 'no-store')
    }
  }
}

function checkKeys(keys: Koa['keys'] | undefined): void {
  if (keys !== undefined && !Array.isArray(keys)) return // a Keygrip, which shows nothing of its keys
  if (keys?.length && keys.every((key) => typeof key === 'string' && key.length >= MIN_KEY_LENGTH)) return
  const fault = keys?.length
    ? `has a key of less than ${MIN_KEY_LENGTH} characters`
    : 'is missing, and the cookie is to be signed with it'
  throw new ConfigurationError(
    `app.keys ${fault}. Set app.keys = [process.env.SESSION_KEY] before koaSession(), with what "openssl rand -base64 32" prints; ` +
      `or pass signed: false.`
  )
}

/** koa would throw too, but without the cure, and after the session is stored. */
function refuseInsecure(): never {
  const cure = 'set app.proxy = true'
  warnOfInsecureRequest('Koa', cure)
  throw new ConfigurationError(
    `The session cookie is Secure, and the request did not arrive over HTTPS. Behind a proxy that ends TLS, ${cure}; on ` +
      `plain HTTP in development, pass secure: false.`
  )
}
