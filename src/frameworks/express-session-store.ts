import type { CookieOptions, Session, SessionData } from 'express-session'
import { decodeData, encodeData } from '../core/data.ts'
import { ConfigurationError } from '../core/errors.ts'
import type { DefaultSessionService } from '../default-session-service.ts'
import { idleTimeoutOf, withListedCookie, withLiveCookie } from './express-cookie.ts'
import { loadPeer } from './peer-dependency.ts'
import { type ServiceSource, type SessionServiceLike, serviceSource } from './service-source.ts'

const { Store } = loadPeer<typeof import('express-session')>('express-session', 'bodhi-session/express')

/**
 * The ids under which session objects are known to have been stored: they were loaded, or made by express-session and
 * saved. A save of one may replace its session, and never make one. Kept beside the objects, which are the application's.
 */
const storedUnder = new WeakMap<object, string>()

/** Whether a save of this object under this id must find the session that it was loaded from or saved as. */
export function isStored(session: object | null | undefined, sid: string): boolean {
  return typeof session === 'object' && session !== null && storedUnder.get(session) === sid
}

type Callback<R = void> = (error: unknown, result?: R | undefined) => void

export interface ExpressSessionStoreOptions {
  /** The cookie of a session that express-session did not make, for instance one of `sessions.create`. */
  readonly cookie?: CookieOptions | undefined
}

/**
 * A store for express-session: `session({ store: new ExpressSessionStore(sessions), resave: false, saveUninitialized:
 * false, … })`. {@link expressSession} does this, with the project's defaults.
 *
 * - `cookie.maxAge` (or `expires`) is that session's idle timeout, cut at the service's absolute timeout. Without one the
 *   service's idle timeout holds.
 * - A session that has ended stays ended: a save of it succeeds and stores nothing.
 * - The whole session is saved: of two parallel requests the last one to save wins.
 * - An outage is an error for the callback, with `status` 503, and never a missing session. Do not combine it with
 *   `unset: 'destroy'`, unless through {@link expressSession}: express-session then destroys, at the end of the error's
 *   response, the session that it failed to load.
 * - A callback is called once, on a turn of its own: what it throws is the application's uncaught exception.
 * - A failure of an operation without a callback is emitted as 'error'; without a listener it is a process warning.
 *   'disconnect' is never emitted: it would make requests proceed without their session.
 */
export class ExpressSessionStore<T extends object = Record<string, unknown>> extends Store {
  // No #private fields: applications wrap stores in proxies, through which those cannot be read.
  private readonly service: ServiceSource<T>
  private readonly cookieDefaults: CookieOptions

  /**
   * @param sessions The service, or the promise of it: operations wait until it is connected, 5 s at most.
   * @throws ConfigurationError where `sessions` is neither.
   */
  constructor(sessions: SessionServiceLike<T>, options: ExpressSessionStoreOptions = {}) {
    super()
    this.service = serviceSource(sessions)
    this.cookieDefaults = options.cookie ?? {}
  }

  /** The session of an id, its cookie's `expires` on this machine's clock; undefined where there is none. */
  override get(sid: string, callback: Callback<SessionData>): void {
    requireCallback('get', callback)
    this.call(this.service(), callback, async (service) => {
      const session = await service.load(sid)
      return session && withLiveCookie(session, this.cookieDefaults)
    })
  }

  /**
   * Stores the session, and extends its idle timeout. One that was loaded must still be there; one that was made, or a
   * plain object, is inserted, unless its id has ended. A cookie that has run out ends the session.
   */
  override set(sid: string, session: SessionData, callback?: Callback): void {
    const ifMissing = isStored(session, sid) ? 'refuse' : 'insert'
    const idleTimeoutMs = idleTimeoutOf(session?.cookie)
    const connection = this.service()
    const dataOf = 'then' in connection ? capture(session) : () => session as object
    this.call(connection, callback, async (service) => {
      // What the application has declared as SessionData it has declared as T.
      if (isOver(idleTimeoutMs)) await service.destroy(sid)
      else await service.put(sid, dataOf() as T, { ifMissing, idleTimeoutMs: wholeMs(idleTimeoutMs) })
      // A plain object is no session that a request holds: whoever stores it again means it.
      if ('regenerate' in session) storedUnder.set(session, sid)
    })
  }

  /** Ends the session. Succeeds where there is none. */
  override destroy(sid: string, callback?: Callback): void {
    this.call(this.service(), callback, async (service) => {
      await service.destroy(sid)
    })
  }

  /** Extends the session's idle timeout, and sets it to the cookie's. Never writes data, never inserts. */
  override touch(sid: string, session: SessionData, callback?: Callback): void {
    const idleTimeoutMs = idleTimeoutOf(session?.cookie)
    this.call(this.service(), callback, async (service) => {
      if (isOver(idleTimeoutMs)) await service.destroy(sid)
      else await service.touch(sid, { idleTimeoutMs: wholeMs(idleTimeoutMs) })
    })
  }

  /**
   * All live sessions, in one array: for small stores. Without their ids, which nobody has: the store knows only hashes.
   * Sessions that cannot be read are left out.
   */
  override all(callback: Callback<SessionData[]>): void {
    requireCallback('all', callback)
    this.call(this.service(), callback, async (service) => {
      const all: SessionData[] = []
      for await (const { data, expiresAt } of service.dumpAllSessions()) {
        if (data !== undefined) all.push(withListedCookie(data, expiresAt, this.cookieDefaults))
      }
      return all
    })
  }

  /** The number of live sessions. */
  override length(callback: Callback<number>): void {
    requireCallback('length', callback)
    this.call(this.service(), callback, (service) => service.countSessions())
  }

  /** Ends all sessions. */
  override clear(callback?: Callback): void {
    this.call(this.service(), callback, async (service) => {
      await service.clearAllSessions()
    })
  }

  /** express-session calls it for what `get` gave: so this is a session that was loaded. */
  override createSession(
    ...[req, data]: Parameters<typeof Store.prototype.createSession>
  ): Session & SessionData {
    const session = super.createSession(req, data)
    storedUnder.set(session, req.sessionID)
    return session
  }

  /** Calls the service at once where it is there: operations on one session keep the order in which they were made. */
  private call<R>(
    connection: ReturnType<ServiceSource<T>>,
    callback: Callback<R> | undefined,
    operation: (service: DefaultSessionService<T>) => Promise<R | undefined>
  ): void {
    const work = 'then' in connection ? connection.then(operation) : operation(connection)
    const settle = callback ?? ((error: unknown) => error && this.reportUnheard(error))
    // On a turn of its own, so that a callback that throws meets neither our promise nor a second call.
    work.then(
      (result) => process.nextTick(settle, null, result),
      (error: unknown) => process.nextTick(settle, error)
    )
  }

  protected reportUnheard(error: unknown): void {
    if (this.listenerCount('error') > 0) {
      this.emit('error', error)
      return
    }
    process.emitWarning(
      `The session store failed where neither a callback nor a response can tell of it (listen to its 'error' event to ` +
        `hear of it otherwise): ${String(error)}`,
      { code: 'BODHI_SESSION_UNHEARD_ERROR' }
    )
  }
}

function requireCallback(method: string, callback: unknown): void {
  if (typeof callback === 'function') return
  throw new ConfigurationError(`ExpressSessionStore.${method} needs a callback; got ${typeof callback}.`)
}

function wholeMs(ms: number | null): number | null {
  return ms === null ? null : Math.max(1, Math.ceil(ms))
}

/** The data as it is now: while the service is still connecting the application goes on changing its session. */
function capture(session: SessionData): () => object {
  try {
    const copy = decodeData(encodeData(session, Number.MAX_SAFE_INTEGER, 'framework'))
    return () => copy
  } catch (error) {
    return () => {
      throw error
    }
  }
}

/** The cookie's time has run out: MemoryStore and its like hide such a session, so it ends. */
function isOver(idleTimeoutMs: number | null): boolean {
  return idleTimeoutMs !== null && idleTimeoutMs <= 0
}
