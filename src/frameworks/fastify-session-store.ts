import type { SessionStore } from '@fastify/session'
import type { Session as FastifySession } from 'fastify'
import { sessionIdOf } from '../core/token.ts'
import { type ServiceSource, type SessionServiceLike, serviceSource } from './service-source.ts'

/** How many loaded sessions are remembered. One that was forgotten costs a full write in place of a touch. */
const MAX_LOADED = 10_000

/** The members of the framework's cookie that the store reads. */
interface FrameworkCookie {
  readonly originalMaxAge?: number | null
  readonly maxAge?: number | null
  readonly expires?: Date | string | null
}

/** A session as it is given to `set`: @fastify/session's own object, or a plain one. */
interface FrameworkSession {
  readonly cookie?: FrameworkCookie | null
  readonly isModified?: () => boolean
}

/**
 * A store for @fastify/session 11.
 *
 * By default (`rolling: true`) @fastify/session saves every session at the end of every request: where neither data nor
 * cookie changed, that is only a touch here, and mostly spared. An explicit `cookie.maxAge` is that session's idle timeout, cut
 * at the service's absolute timeout; with none, the service's idle timeout holds. What the framework compares with this
 * machine's clock (`cookie.expires`) is made anew at every load from the time that the store says is left.
 *
 * Each callback is called exactly once. A save of a session that has ended succeeds and stores nothing.
 */
export class FastifySessionStore<T extends object = Record<string, unknown>> implements SessionStore {
  readonly #service: ServiceSource<T>
  /**
   * The cookies of the sessions that were loaded or stored here, by session id, in the order of use: these sessions must
   * not be inserted again, however long a request takes.
   */
  readonly #known = new Map<string, string>()

  /** @param sessions The service, or the promise of it: operations wait until it is connected, 5 s at most. */
  constructor(sessions: SessionServiceLike<T>) {
    this.#service = serviceSource(sessions)
  }

  get(token: string, callback: (error: unknown, session?: FastifySession | null) => void): void {
    settle(this.#get(token), callback)
  }

  set(token: string, session: FastifySession, callback: (error?: unknown) => void): void {
    settle(this.#set(token, session), (error) => callback(error))
  }

  destroy(token: string, callback: (error?: unknown) => void): void {
    settle(this.#destroy(token), (error) => callback(error))
  }

  async #get(token: string): Promise<FastifySession | null> {
    const session = await (await this.#service()).load(token)
    if (session === undefined) return null
    // @fastify/session assigns the keys one by one, and this one would replace the session's methods.
    const { ['__proto__']: _proto, cookie: storedCookie, ...data } = session.data as Record<string, unknown>
    const stored: FrameworkCookie =
      typeof storedCookie === 'object' && storedCookie !== null ? storedCookie : {}
    this.#remember(token, cookieKey(stored))
    const expires = new Date(Date.now() + session.expiresInMs)
    const cookie: FrameworkCookie = {
      ...stored,
      originalMaxAge: stored.expires ? null : session.idleTimeoutMs,
      ...(session.idleTimeoutMs === null ? {} : { expires })
    }
    return { ...data, cookie } as FastifySession // in the form in which set got it
  }

  async #set(token: string, session: FrameworkSession): Promise<void> {
    const service = await this.#service()
    const { cookie, idleTimeoutMs } = readCookie(session.cookie)
    const key = cookieKey(cookie)
    const known = this.#known.get(keyOf(token))
    // Its own word is by request; comparing with what is stored would take a parallel request's change for one of ours.
    if (known === key && session.isModified?.() === false) {
      // A fixed end does not slide.
      if (!cookie.expires) await service.touch(token)
      return
    }
    const outcome = await service.put(token, { ...session, cookie } as T, {
      ifMissing: known === undefined ? 'insert' : 'refuse',
      idleTimeoutMs
    })
    if (outcome === 'stored') this.#remember(token, key)
  }

  async #destroy(token: string): Promise<void> {
    await (await this.#service()).destroy(token)
  }

  #remember(token: string, key: string): void {
    const id = keyOf(token)
    this.#known.delete(id)
    this.#known.set(id, key)
    if (this.#known.size <= MAX_LOADED) return
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest)
      break
    }
  }
}

/** Not the token itself: what stays in memory may end up in a heap dump. */
function keyOf(token: string): string {
  return sessionIdOf(token) ?? ''
}

function cookieKey(cookie: FrameworkCookie): string {
  return JSON.stringify({ ...cookie, expires: Boolean(cookie.expires) })
}

/**
 * The cookie as it is stored, without what is made anew at every load, and the idle timeout that it asks for. An
 * explicit `expires` is turned into a duration at once: the store's clock counts from here.
 */
function readCookie(given: FrameworkCookie | null | undefined): {
  cookie: FrameworkCookie
  idleTimeoutMs: number | null
} {
  const plain = JSON.parse(JSON.stringify(given ?? {})) as FrameworkCookie & { originalExpires?: unknown }
  const { expires, originalExpires: _, maxAge, ...attributes } = plain
  const ownMaxAge = attributes.originalMaxAge ?? maxAge
  if (typeof ownMaxAge === 'number') {
    return { cookie: { ...attributes, originalMaxAge: ownMaxAge }, idleTimeoutMs: wholeMs(ownMaxAge) }
  }
  const expiresAt = expires ? new Date(expires).getTime() : Number.NaN
  if (Number.isNaN(expiresAt)) return { cookie: attributes, idleTimeoutMs: null }
  return {
    cookie: { ...attributes, expires: new Date(expiresAt).toISOString() },
    idleTimeoutMs: wholeMs(expiresAt - Date.now())
  }
}

function wholeMs(ms: number): number {
  return Math.max(1, Math.ceil(ms))
}

/** Calls back exactly once: what the callback throws is not its own failure, and must not be told to it. */
function settle<R>(result: Promise<R>, callback: (error: unknown, value?: R) => void): void {
  result
    .then(
      (value) => callback(null, value),
      (error: unknown) => callback(error)
    )
    .catch((thrown: unknown) => {
      process.nextTick(() => {
        throw thrown
      })
    })
}
