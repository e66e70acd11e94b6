import { type ServiceSource, type SessionServiceLike, serviceSource } from './service-source.ts'

/** What koa-session adds to `maxAge` so that a store's entry outlives the cookie. */
const KOA_GRACE_MS = 10_000

/** What koa-session passes beside the session. */
export interface KoaSessionCall {
  readonly ctx?: object | undefined
  readonly changed?: boolean | undefined
  readonly rolling?: boolean | undefined
}

/** A session as this request last saw it in the store. */
interface Seen {
  readonly key: string
  /** undefined: not known since it was written. */
  readonly json: string | undefined
  readonly idleTimeoutMs: number | null
  readonly userId: string | null
  /** Set where the session had been ended by somebody else before this request came to destroy it. */
  endedByOthers?: boolean
}

/**
 * An external store for koa-session 7.
 *
 * An explicit `maxAge`, of the options or of one session, is that session's idle timeout, cut at the service's absolute
 * timeout; with none, or 'session', the service's idle timeout holds. What koa-session writes into the data for its own use
 * (`_expire`, `_maxAge`, `_session`) is not stored: it is made anew at every load, on this machine's clock.
 *
 * A save of a session that has ended succeeds and stores nothing. Failures of the store reject.
 */
export class KoaSessionStore<T extends object = Record<string, unknown>> {
  readonly #service: ServiceSource<T>
  /** By `ctx`: koa-session gives the same one to the get and the set of one request. */
  readonly #seen = new WeakMap<object, Seen>()

  /** @param sessions The service, or the promise of it: operations wait until it is connected, 5 s at most. */
  constructor(sessions: SessionServiceLike<T>) {
    this.#service = serviceSource(sessions)
  }

  async get(key: string, _maxAge?: unknown, { ctx }: KoaSessionCall = {}): Promise<object | undefined> {
    const session = await (await this.#service()).load(key)
    if (session === undefined) return undefined
    const { idleTimeoutMs, userId } = session
    const data = withoutKoaKeys(session.data)
    if (ctx !== undefined) this.#seen.set(ctx, { key, json: JSON.stringify(data), idleTimeoutMs, userId })
    if (idleTimeoutMs === null) return { ...data, _session: true }
    return { ...data, _maxAge: idleTimeoutMs, _expire: Date.now() + session.expiresInMs }
  }

  async set(
    key: string,
    session: object,
    maxAge?: unknown,
    { ctx, changed }: KoaSessionCall = {}
  ): Promise<void> {
    const service = await this.#service()
    const data = withoutKoaKeys(session)
    const idleTimeoutMs = idleTimeoutOf(maxAge, ctx)
    const before = ctx === undefined ? undefined : this.#seen.get(ctx)
    const seen = before?.key === key ? before : undefined
    // `changed: false` says only why koa-session saves: regenerate(), save() and a new maxAge come so too.
    if (!changed && seen?.idleTimeoutMs === idleTimeoutMs && seen.json === JSON.stringify(data)) {
      await service.touch(key)
      return
    }
    const outcome = await service.put(key, data as T, {
      // A session that was loaded, or stored before in this request, must not come back however long the request takes.
      ifMissing: seen === undefined ? 'insert' : 'refuse',
      idleTimeoutMs
    })
    if (outcome !== 'stored' || ctx === undefined) return
    this.#seen.set(ctx, { key, json: undefined, idleTimeoutMs, userId: seen?.userId ?? null })
    if (before?.endedByOthers) await this.#endIfSameUser(key, before.userId)
  }

  async destroy(key: string, { ctx }: KoaSessionCall = {}): Promise<void> {
    const wasLive = await (await this.#service()).destroy(key)
    const seen = ctx === undefined ? undefined : this.#seen.get(ctx)
    if (seen?.key === key && !wasLive) seen.endedByOthers = true
  }

  /**
   * regenerate() is a destroy, and a set of the same data under a new key. If the user was signed out everywhere between the
   * load and the destroy, the new key would sign him in again: it must end too. Another user's, or a visitor's that
   * becomes a user's, is a sign-in and stays.
   */
  async #endIfSameUser(key: string, userId: string | null): Promise<void> {
    if (userId === null) return
    const service = await this.#service()
    const session = await service.load(key)
    if (session?.userId === userId) await service.destroy(key)
  }
}

/** `__proto__` too: koa-session assigns the keys one by one, and this one would replace the session's methods. */
function withoutKoaKeys(data: object): object {
  const { _expire, _maxAge, _session, ['__proto__']: _proto, ...rest } = data as Record<string, unknown>
  return rest
}

/** null: the service's own. koa-session says one day where nobody has set a maxAge, so the request's options decide. */
function idleTimeoutOf(maxAge: unknown, ctx: object | undefined): number | null {
  const options: unknown = ctx === undefined ? undefined : Reflect.get(ctx, 'sessionOptions')
  const isExplicit =
    typeof options !== 'object' || options === null || typeof Reflect.get(options, 'maxAge') === 'number'
  return isExplicit && typeof maxAge === 'number' ? Math.max(1, Math.ceil(maxAge - KOA_GRACE_MS)) : null
}
