import { setTimeout as delay } from 'node:timers/promises'
import type { Keyv } from 'keyv'
import type {
  PutOutcome,
  SessionEntry,
  SessionGuarantees,
  SessionStorage,
  StoredSession
} from './backends/backend.ts'
import { keyvOver, openStorage, storageOf } from './backends/registry.ts'
import { parseConnectionUrl } from './config/connection-url.ts'
import { type EnvironmentOptions, readEnvironment } from './config/from-env.ts'
import { type ResolvedOptions, resolveOptions, type SessionServiceOptions } from './config/options.ts'
import { type DataRules, decodeData, encodeData } from './core/data.ts'
import { BackendError, ClosedError, ConfigurationError, ConflictError, DataError } from './core/errors.ts'
import { PruneTimer } from './core/prune-timer.ts'
import type { Session, SessionId, SessionInfo, SessionToken } from './core/session.ts'
import { SessionTurns } from './core/session-turns.ts'
import { asSessionId, mintToken, sessionIdOf } from './core/token.ts'
import { type SeenTimes, TouchMemory } from './core/touch-memory.ts'
import { defaultUserIdOf, normaliseUserId, requireUserId } from './core/user-id.ts'

/** A collision of 256 random bits does not happen; one that does is a broken source of randomness. */
const MAX_CREATE_ATTEMPTS = 3
/** Each lost race means that another writer won one; this many in a row is a session that is written without pause. */
const MAX_UPDATE_ATTEMPTS = 100
const MAX_BACKOFF_MS = 50

/** Changes the private copy of the data in place, or returns new data. May be asynchronous, and may run again. */
// biome-ignore lint/suspicious/noConfusingVoidType: a change that only mutates its copy returns nothing
export type Change<T extends object> = (data: T) => T | void | Promise<T | void>

/** How a framework's store writes a session whose token the framework has made. */
export interface PutOptions {
  /** What to do with a token that has no session: 'refuse' for a session that was loaded, 'insert' for a new one. */
  readonly ifMissing: 'insert' | 'refuse'
  /** This session's own idle timeout in milliseconds; null or absent: the service's. */
  readonly idleTimeoutMs?: number | null | undefined
}

export interface TouchOptions {
  /** Gives the session an idle timeout of its own from now on (null: the service's again); absent: unchanged. */
  readonly idleTimeoutMs?: number | null | undefined
}

/**
 * A session store with an index by user, on SQLite, PostgreSQL or any Keyv.
 *
 * What holds for every method:
 * - A token that cannot be one (empty, no string, over 1,024 characters, with NUL) is an unknown token: no query, no error.
 * - `undefined` and `false` are answers of the store. A store that cannot answer throws: {@link BackendUnavailableError}
 *   (`SESSION_BACKEND_UNAVAILABLE`, the one that is worth a retry) or {@link BackendError} (`SESSION_BACKEND`).
 *   After `close()` everything throws {@link ClosedError}.
 * - Data is captured when the call is made; calls on one session take effect in the order in which they were made.
 *
 * @typeParam T The type of the data. It is checked at run time only for being JSON.
 */
export class DefaultSessionService<T extends object = Record<string, unknown>> implements AsyncDisposable {
  /**
   * The wrapped Keyv: the same store by session id, seen as a plain Keyv, where failures become `undefined`. Over a Keyv whose
   * adapter knows no sessions (Redis, MySQL, …) it is a second Keyv, whose values are sessions rather than our entries.
   */
  readonly keyv: Keyv
  /** The options in force, defaults filled in. */
  readonly options: ResolvedOptions<T>

  readonly #storage: SessionStorage
  readonly #touches: TouchMemory
  readonly #turns = new SessionTurns()
  readonly #pruning: PruneTimer
  #ownsStorage = false
  #closing: Promise<void> | undefined
  readonly #stopping = new AbortController()
  #underWay = 0
  #drained: (() => void) | undefined
  readonly #noteEnd = () => {
    if (--this.#underWay === 0) this.#drained?.()
  }

  /**
   * Opens the store that the environment names. Options given here win over variables.
   * @throws ConfigurationError `SESSION_CONFIGURATION` for a variable that is wrong, and for a cluster without PostgreSQL.
   */
  static async fromEnv<T extends object = Record<string, unknown>>(
    options: EnvironmentOptions<T> = {}
  ): Promise<DefaultSessionService<T>> {
    const { url, options: resolved } = readEnvironment<T>(options)
    return DefaultSessionService.connect<T>(url, resolved)
  }

  /**
   * Opens the store of a URL: `sqlite:`, `postgres:` or `postgresql:`. Resolves when the schema is there; nothing else
   * has to be awaited.
   * @throws ConfigurationError, BackendUnavailableError, BackendError, SchemaError
   */
  static async connect<T extends object = Record<string, unknown>>(
    url: string | URL,
    options?: SessionServiceOptions<T>
  ): Promise<DefaultSessionService<T>> {
    const resolved = resolveOptions<T>(options)
    const storage = await openStorage(parseConnectionUrl(url), resolved)
    let service: DefaultSessionService<T> | undefined
    try {
      service = new DefaultSessionService<T>(keyvOver(storage), options)
      service.#ownsStorage = true
      await storage.ready()
      return service
    } catch (error) {
      await (service ? service.close() : storage.disconnect())
      throw error
    }
  }

  /**
   * @param keyv A Keyv that is already set up, of any adapter. It stays open when the service is closed. What a store
   * without transactions cannot promise, {@link guarantees} says.
   * @throws ConfigurationError
   */
  constructor(keyv: Keyv, options?: SessionServiceOptions<T>) {
    this.options = resolveOptions<T>(options)
    this.#storage = storageOf(keyv)
    this.keyv = this.#storage === keyv.store ? keyv : keyvOver(this.#storage)
    this.#touches = new TouchMemory(this.options, this.#storage.monotonicNow ?? (() => performance.now()))
    const { namespace, idleTimeoutMs, absoluteTimeoutMs, tombstoneMs } = this.options
    this.#storage.configure({
      namespace,
      idleTimeoutMs,
      absoluteTimeoutMs,
      tombstoneMs,
      encode: (data) => this.#entryOf(data, 'strict'),
      decode: decodeData,
      changedThroughKeyv: (id) => (id === null ? this.#touches.forgetAll() : this.#touches.forget(id))
    })
    this.#pruning = new PruneTimer(this.#storage.expiresByItself ? 0 : this.options.pruneIntervalMs, () =>
      this.#pruneInBackground()
    )
  }

  /** What this store can promise: all of it on SQLite and PostgreSQL, less behind other Keyv adapters. */
  get guarantees(): SessionGuarantees {
    return this.#storage.guarantees
  }

  /** Starts a session under a token of our own making; a token from outside is never adopted. */
  create(data: T): Promise<Session<T>> {
    return this.#run(async () => {
      const entry = this.#entryOf(data, 'strict')
      for (let attempt = 1; attempt <= MAX_CREATE_ATTEMPTS; attempt++) {
        const token = mintToken()
        const id = idOfOwnToken(token)
        const askedAt = this.#touches.now()
        const times = await this.#storage.insert(id, entry)
        if (times === undefined) continue
        this.#touches.remember(id, times, askedAt)
        return this.#sessionOf({ ...times, id, value: entry.value, userId: entry.userId }, token)
      }
      throw new BackendError(
        `Each of ${MAX_CREATE_ATTEMPTS} new tokens was taken already: the randomness is broken.`
      )
    })
  }

  /**
   * The live session of a token, with a private copy of its data. Extends nothing, writes nothing.
   * @returns undefined for an unknown, expired, ended or malformed token.
   * @throws DataError `SESSION_DATA` where the stored row cannot be read.
   */
  load(token: string): Promise<Session<T> | undefined> {
    return this.#run(() =>
      this.#onSession(token, undefined, async (id) => {
        const askedAt = this.#touches.now()
        const row = await this.#storage.read(id)
        this.#seen(id, row, askedAt)
        return row && this.#sessionOf(row, token as SessionToken)
      })
    )
  }

  /**
   * Replaces the data and extends the idle timeout.
   * @returns false where there is no such live session; nothing is written then.
   */
  save(token: string, data: T): Promise<boolean> {
    return this.#run(() => {
      const entry = this.#entryOf(data, 'strict')
      return this.#onSession(token, false, async (id) => (await this.#put(id, entry, 'refuse')) === 'stored')
    })
  }

  /**
   * Changes the data as one atomic step; no concurrent update is lost. `change` gets a private copy, and changes it in
   * place or returns new data; it may be asynchronous, and runs again where another node was faster. If it throws, nothing
   * is written and its error is passed on.
   * @throws ConflictError `SESSION_CONFLICT` after 100 lost races.
   */
  update(token: string, change: Change<T>): Promise<Session<T> | undefined> {
    return this.#run(() => {
      if (typeof change !== 'function') {
        throw new ConfigurationError(
          `update(token, change): change must be a function; got ${typeof change}.`
        )
      }
      const id = sessionIdOf(token)
      if (id === undefined) return Promise.resolve(undefined)
      return this.#turns.exclusive(id, () => this.#update(id, token as SessionToken, change))
    })
  }

  /**
   * Extends the idle timeout, never the absolute one, and leaves the data alone. A touch that would gain less than
   * `touchAfterMs` asks nobody; `true` then means "live when last seen here". A crash of the database may lose the touches of
   * its last moments (0.6 s on PostgreSQL): such a session ends earlier by what they had gained.
   */
  touch(token: string, options: TouchOptions = {}): Promise<boolean> {
    return this.#run(() => {
      const own = checkIdleTimeout(options.idleTimeoutMs)
      return this.#onSession(token, false, async (id) => {
        if (this.#touches.sparesTouch(id, own)) return true
        const askedAt = this.#touches.now()
        const times = await this.#storage.touch(id, own)
        return this.#seen(id, times, askedAt)
      })
    })
  }

  /**
   * Gives the session a new token, in one step with the death of the old one; data is kept, or replaced by `data`. Call it
   * whenever somebody signs in, so that a token planted before is worth nothing (session fixation, CWE-384).
   * @returns undefined where there is no such live session; of two rotations at once one wins, the other gets this.
   */
  rotate(token: string, data?: T): Promise<Session<T> | undefined> {
    return this.#run(() => {
      const entry = data === undefined ? undefined : this.#entryOf(data, 'strict')
      return this.#onSession(token, undefined, async (id) => {
        const newToken = mintToken()
        const newId = idOfOwnToken(newToken)
        const askedAt = this.#touches.now()
        const row = await this.#storage.rotate(id, newId, entry)
        this.#touches.forget(id)
        if (row === undefined) return undefined
        this.#touches.remember(newId, row, askedAt)
        return this.#sessionOf(row, newToken)
      })
    })
  }

  /** Ends the session. True if it was live. */
  destroy(token: string): Promise<boolean> {
    return this.#run(() =>
      this.#onSession(token, false, (id) => {
        this.#touches.forget(id)
        return this.#storage.end(id)
      })
    )
  }

  /**
   * For authors of framework adapters, whose frameworks mint the tokens: writes a session under a given token. Unlike
   * `create` and `save` it follows the frameworks' JSON rules: `toJSON` is honoured, class instances count as objects.
   * @returns 'ended' for a token whose session has ended (nothing brings it back), 'missing' for a token without a session
   * where `ifMissing` is 'refuse' and for what cannot be a token.
   */
  put(token: string, data: T, options: PutOptions): Promise<PutOutcome['outcome']> {
    return this.#run(() => {
      const ifMissing = options?.ifMissing
      if (ifMissing !== 'insert' && ifMissing !== 'refuse') {
        throw new ConfigurationError(
          `put(token, data, { ifMissing }): must be 'insert' or 'refuse'; got ${ifMissing}.`
        )
      }
      const idleTimeoutMs = checkIdleTimeout(options.idleTimeoutMs) ?? null
      const entry = { ...this.#entryOf(data, 'framework'), idleTimeoutMs }
      return this.#onSession(token, 'missing', (id) => this.#put(id, entry, ifMissing))
    })
  }

  /** The ids of a user's live sessions, most recently active first. */
  getSessionIdsForUser(userId: string | number): Promise<SessionId[]> {
    return this.#run(() => this.#storage.idsByUser(requireUserId(userId)))
  }

  /** A user's live sessions, most recently active first: what an account page shows. Never a token. */
  listSessionsForUser(userId: string | number): Promise<SessionInfo<T>[]> {
    return this.#run(async () => {
      const rows = await this.#storage.listByUser(requireUserId(userId))
      return rows.map((row) => this.#listed(row))
    })
  }

  countSessionsForUser(userId: string | number): Promise<number> {
    return this.#run(() => this.#storage.countByUser(requireUserId(userId)))
  }

  /**
   * Signs a user out everywhere, save in the session `except`: its number of sessions ended. Misses none, not even
   * those that are being rotated at this moment.
   */
  clearSessionsForUser(
    userId: string | number,
    options: { readonly except?: string | undefined } = {}
  ): Promise<number> {
    return this.#run(async () => {
      const user = requireUserId(userId)
      const except = options.except === undefined ? undefined : requireSessionId(options.except, 'except')
      this.#touches.forgetAll()
      const ended = await this.#storage.endByUser(user, except)
      this.#touches.forgetAll() // what was seen while they were being ended
      return ended
    })
  }

  /**
   * Ends a session by its id; with `userId` only if it is that user's, for account pages. An id that has been rotated away
   * stands for the session that it became, so a list that is a moment old still ends what it showed.
   * @returns false for what is no live session, or not that user's.
   */
  revoke(id: string, options: { readonly userId?: string | number } = {}): Promise<boolean> {
    return this.#run(async () => {
      // A check that was asked for must never fall away because the id turned out to be undefined.
      const user = 'userId' in options ? requireUserId(options.userId) : undefined
      const sessionId = asSessionId(id)
      if (sessionId === undefined) return false
      return this.#turns.after(sessionId, () => {
        this.#touches.forgetAll() // a rotated session is known here under an id that only the store knows
        return this.#storage.revoke(sessionId, user)
      })
    })
  }

  /** The number of live sessions in this namespace. */
  countSessions(): Promise<number> {
    return this.#run(() => this.#storage.count())
  }

  /**
   * Ends all sessions of this namespace, in committed batches: what was live when it began is dead when it resolves. If it
   * fails midway it throws, and calling it again goes on.
   */
  clearAllSessions(): Promise<number> {
    return this.#run(async () => {
      this.#touches.forgetAll()
      const ended = await this.#storage.endAll()
      this.#touches.forgetAll()
      return ended
    })
  }

  /** All live sessions, streamed in pages: constant memory. Each was live when its page was read. */
  async *dumpAllSessions(): AsyncGenerator<SessionInfo<T>, void, undefined> {
    if (this.#closing !== undefined) throw closedError()
    for await (const row of this.#storage.scan()) yield this.#listed(row)
  }

  /**
   * Removes expired sessions and tombstones of this namespace.
   * @returns The number of expired sessions; tombstones are not counted, nor is what another node is removing now. Fewer
   * than there are where `close` is called meanwhile.
   */
  pruneExpired(): Promise<number> {
    return this.#run(() => this.#storage.prune(this.#stopping.signal))
  }

  /** Resolves if the store answers, throws if not: for a health check. */
  ping(): Promise<void> {
    return this.#run(() => this.#storage.ping())
  }

  /**
   * Waits for what is under way (a prune ends with its present batch), then closes the store if `connect` or `fromEnv` opened it; a Keyv that was passed in stays
   * open. Idempotent. The process can exit afterwards.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    const pruned = this.#pruning.stop()
    this.#stopping.abort()
    if (this.#underWay > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve
      })
    }
    await pruned
    this.#touches.forgetAll()
    if (this.#ownsStorage) await this.#storage.disconnect()
  }

  /**
   * Every operation on the store goes through here: refused after close(), and waited for by it. The operation is called
   * at once, so that it captures its data; what it throws then is a rejection too.
   */
  #run<R>(operation: () => Promise<R>): Promise<R> {
    if (this.#closing !== undefined) return Promise.reject(closedError())
    this.#underWay++
    let result: Promise<R>
    try {
      result = operation()
    } catch (error) {
      result = Promise.reject(error)
    }
    // Not an asynchronous function that awaits it, which would answer each call a promise later.
    result.then(this.#noteEnd, this.#noteEnd)
    return result
  }

  #onSession<R>(token: string, stranger: R, operation: (id: SessionId) => Promise<R>): Promise<R> {
    const id = sessionIdOf(token)
    return id === undefined ? Promise.resolve(stranger) : this.#turns.after(id, operation)
  }

  #entryOf(data: unknown, rules: DataRules): SessionEntry {
    const value = encodeData(data, this.options.maxDataBytes, rules)
    const { userIdOf } = this.options
    let userId: unknown
    try {
      userId = userIdOf ? userIdOf(data as T) : defaultUserIdOf(data as object)
    } catch (cause) {
      throw new ConfigurationError(
        'The option userIdOf threw. It must return null where nobody is signed in.',
        { cause }
      )
    }
    return {
      value,
      userId: normaliseUserId(userId, userIdOf ? 'What userIdOf returns' : 'The user id in the data')
    }
  }

  async #put(
    id: SessionId,
    entry: SessionEntry,
    ifMissing: PutOptions['ifMissing']
  ): Promise<PutOutcome['outcome']> {
    const askedAt = this.#touches.now()
    const result = await this.#storage.put(id, entry, ifMissing)
    this.#seen(id, result.outcome === 'stored' ? result : undefined, askedAt)
    return result.outcome
  }

  #seen(id: SessionId, times: SeenTimes | undefined, askedAt: number): boolean {
    if (times === undefined) {
      this.#touches.forget(id)
      return false
    }
    this.#touches.remember(id, times, askedAt)
    return true
  }

  async #update(id: SessionId, token: SessionToken, change: Change<T>): Promise<Session<T> | undefined> {
    for (let attempt = 1; attempt <= MAX_UPDATE_ATTEMPTS; attempt++) {
      const readAt = this.#touches.now()
      const row = await this.#storage.read(id)
      this.#seen(id, row, readAt)
      if (row === undefined) return undefined
      const draft = this.#decode(row)
      const changed = await this.#turns.change(id, () => change(draft))
      const entry = this.#entryOf(changed ?? draft, 'strict')
      const askedAt = this.#touches.now()
      const result = await this.#storage.replace(id, entry, row.version)
      if (result.outcome === 'stored') {
        this.#touches.remember(id, result, askedAt)
        return this.#sessionOf({ ...result, id, value: entry.value, userId: entry.userId }, token)
      }
      if (result.outcome === 'missing') {
        this.#touches.forget(id)
        return undefined
      }
      // The first retry is at once: most races have two runners. Then apart, so that runners do not keep in step.
      if (attempt > 1) await delay(Math.random() * Math.min(2 ** attempt, MAX_BACKOFF_MS))
    }
    throw new ConflictError(
      `update of session ${id} lost ${MAX_UPDATE_ATTEMPTS} races against other writers. Write to it less often, or keep ` +
        `what changes so often in a table of its own.`
    )
  }

  #decode(row: StoredSession): T {
    try {
      return decodeData(row.value) as T // the type of the data is the application's word
    } catch (error) {
      throw new DataError(`Session ${row.id} cannot be read: ${(error as Error).message}`, { cause: error })
    }
  }

  #sessionOf(row: StoredSession, token: SessionToken): Session<T> {
    return {
      ...timesOf(row),
      data: this.#decode(row),
      token,
      expiresInMs: row.expiresAt - row.now,
      idleTimeoutMs: row.idleTimeoutMs
    }
  }

  /** A row that cannot be read must not stand in the way of the rest of a list. */
  #listed(row: StoredSession): SessionInfo<T> {
    let data: T | undefined
    try {
      data = this.#decode(row)
    } catch (error) {
      if (!(error instanceof DataError)) throw error
    }
    return { ...timesOf(row), data }
  }

  async #pruneInBackground(): Promise<void> {
    try {
      await this.pruneExpired()
    } catch (error) {
      // The next round tries again, and every caller hears of an outage from its own calls; without a listener Keyv
      // would throw the event, and with it end the process.
      if (this.keyv.listenerCount('error') > 0) this.keyv.emit('error', error)
    }
  }
}

function closedError(): ClosedError {
  return new ClosedError('The session service is closed. Call close() only when the server has stopped.')
}

function timesOf(row: StoredSession): Omit<SessionInfo, 'data'> {
  return {
    id: row.id,
    userId: row.userId,
    createdAt: new Date(row.createdAt),
    lastActiveAt: new Date(row.lastActiveAt),
    expiresAt: new Date(row.expiresAt)
  }
}

function idOfOwnToken(token: SessionToken): SessionId {
  return sessionIdOf(token) as SessionId // a token of our own making is well-formed
}

function requireSessionId(value: unknown, name: string): SessionId {
  const id = asSessionId(value)
  if (id !== undefined) return id
  throw new ConfigurationError(
    `The option ${name} must be a session id (43 characters of base64url), as lists give it.`
  )
}

function checkIdleTimeout(value: number | null | undefined): number | null | undefined {
  if (value === undefined || value === null) return value
  if (typeof value === 'number' && Number.isFinite(value) && value >= 1) return Math.ceil(value)
  throw new ConfigurationError(
    `The option idleTimeoutMs must be a number of milliseconds, 1 or more, or null; got ${String(value)}.`
  )
}
