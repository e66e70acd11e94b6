import { setTimeout as delay } from 'node:timers/promises'
import { KeyvPostgres } from '@keyv/postgres'
import type { KeyvStorageEntry, KeyvStorageGetResult } from 'keyv'
import type { ResolvedPostgresOptions } from '../../config/options.ts'
import { BackendUnavailableError, ClosedError, ConfigurationError } from '../../core/errors.ts'
import type { SessionId } from '../../core/session.ts'
import type { SeenTimes } from '../../core/touch-memory.ts'
import {
  type PutOutcome,
  type ReplaceOutcome,
  type SessionEntry,
  type SessionGuarantees,
  type SessionStorage,
  type SessionTimes,
  type StoragePolicy,
  type StoredSession,
  WHOLE_GUARANTEES
} from '../backend.ts'
import { type KeyvView, keyvView } from '../keyv-view.ts'
import { Batcher, type BatchKind } from './batching.ts'
import { remedyFor } from './errors.ts'
import type { LaneLimits } from './lanes.ts'
import { ConnectionPool } from './pool.ts'
import { ensureSchema, quotedTable } from './schema.ts'
import { idleOf, policyParameters, type SessionCalls, sessionCalls } from './session-calls.ts'
import type { ParameterValues, Statement } from './statement.ts'
import { PAGE_ROWS, PRUNE_ROWS, type SessionStatements, sessionStatements } from './statements.ts'
import { overrideConnecting } from './upstream-seam.ts'

/** The options of {@link PostgresSessionStorage}, already validated and complete. */
export type PostgresStorageOptions = ResolvedPostgresOptions & { readonly url: string }

interface Configured {
  readonly policy: StoragePolicy
  readonly calls: SessionCalls
}

const MAX_DEADLOCK_RETRIES = 5

/*
 * Measured with 1 to 4 lanes at 32 and 256 callers. Two let the server work on one batch while this process reads the answer
 * to another; more make the batches smaller. A write costs a commit besides the statement, so more of them share one.
 */
const READS: LaneLimits = { lanes: 2, worthwhile: 16 }
const WRITES: LaneLimits = { lanes: 2, worthwhile: 64 }
const PRUNE_REST = 4
const MAX_BATCH_ROWS = 256
const MAX_BATCH_BYTES = 1024 * 1024
const MAX_QUEUED_BYTES = 128 * 1024 * 1024

/**
 * Sessions in PostgreSQL 14 to 18. Inherits from the official adapter what makes it one (events, capabilities, the shape
 * that Keyv expects), and replaces how it connects, creates its table, reads and writes: see docs/design.md.
 */
export class PostgresSessionStorage extends KeyvPostgres implements SessionStorage {
  readonly sessionStorage = 1
  readonly backend = 'postgres'
  readonly guarantees: SessionGuarantees = { ...WHOLE_GUARANTEES, clock: 'database' }

  readonly #options: PostgresStorageOptions
  readonly #pool: ConnectionPool
  readonly #statements: SessionStatements
  readonly #batcher: Batcher
  readonly #view: KeyvView
  #configured: Configured | undefined
  #ready: Promise<void> | undefined
  #isReady = false
  #underWay = 0
  #drained: (() => void) | undefined
  #disconnected: Promise<void> | undefined

  static {
    overrideConnecting(
      PostgresSessionStorage.prototype,
      (store) =>
        (sql, values = []) =>
          store.#pool.queryText(sql, values, 'a query of the Keyv adapter')
    )
  }

  /** Connects on `ready()` or on the first call, not here. */
  constructor(options: PostgresStorageOptions) {
    super({ uri: options.url, schema: options.schema, table: options.table })
    this.#options = options
    this.#pool = new ConnectionPool(options)
    this.#statements = sessionStatements(quotedTable(options))
    this.#batcher = new Batcher({
      read: { ...READS, lanes: Math.min(READS.lanes, options.maxConnections) },
      write: { ...WRITES, lanes: Math.min(WRITES.lanes, options.maxConnections) },
      extraLanes: Math.max(0, options.maxConnections - READS.lanes - WRITES.lanes),
      maxRows: MAX_BATCH_ROWS,
      maxBytes: MAX_BATCH_BYTES,
      maxQueued: options.maxQueued,
      maxQueuedBytes: MAX_QUEUED_BYTES,
      maxWaitMs: options.statementTimeoutMs,
      remedyFor,
      refuse: (why) => new BackendUnavailableError(`PostgreSQL: too many calls for its answers. ${why}`)
    })
    this.#view = keyvView(this, () => this.#policy)
  }

  configure(policy: StoragePolicy): void {
    const known = this.#configured?.policy
    if (known !== undefined) {
      for (const name of ['namespace', 'idleTimeoutMs', 'absoluteTimeoutMs', 'tombstoneMs'] as const) {
        if (known[name] === policy[name]) continue
        throw new ConfigurationError(
          `Two session services share one store and differ in ${name}: ${known[name]} and ${policy[name]}. Give each a store of its own, or the same options.`
        )
      }
      return
    }
    this.#configured = { policy, calls: sessionCalls(this.#pool, this.#statements, policy) }
  }

  ready(): Promise<void> {
    if (this.#disconnected) return Promise.reject(closedError())
    this.#ready ??= this.#prepare().then(
      () => {
        this.#isReady = true
      },
      (error: unknown) => {
        this.#ready = undefined // the next call tries again
        throw error
      }
    )
    return this.#ready
  }

  read(id: SessionId): Promise<StoredSession | undefined> {
    return this.#call(this.#calls.read, [id], { id })
  }

  insert(id: SessionId, entry: SessionEntry): Promise<SessionTimes | undefined> {
    return this.#call(this.#calls.insert, [id], { id, entry }, bytesOf(entry))
  }

  put(id: SessionId, entry: SessionEntry, ifMissing: 'insert' | 'refuse'): Promise<PutOutcome> {
    return this.#call(this.#calls.put[ifMissing][idleOf(entry)], [id], { id, entry }, bytesOf(entry))
  }

  replace(id: SessionId, entry: SessionEntry, expectedVersion: number): Promise<ReplaceOutcome> {
    const kind = this.#calls.replace[idleOf(entry)]
    return this.#call(kind, [id], { id, entry, expectedVersion }, bytesOf(entry))
  }

  touch(id: SessionId, idleTimeoutMs?: number | null): Promise<SeenTimes | undefined> {
    const kind = idleTimeoutMs === undefined ? 'kept' : 'given'
    return this.#call(this.#calls.touch[kind], [id], { id, idleTimeoutMs: idleTimeoutMs ?? null })
  }

  rotate(id: SessionId, newId: SessionId, entry?: SessionEntry): Promise<StoredSession | undefined> {
    const ids = id === newId ? [id] : [id, newId]
    return this.#call(this.#calls.rotate, ids, { id, newId, entry }, entry && bytesOf(entry))
  }

  end(id: SessionId): Promise<boolean> {
    return this.#call(this.#calls.end, [id], { id })
  }

  revoke(id: SessionId, userId?: string): Promise<boolean> {
    return this.#call(this.#calls.revoke, [id], { id, userId: userId ?? null })
  }

  async endByUser(userId: string, except?: SessionId): Promise<number> {
    const rows = await this.#query(
      this.#statements.endByUser,
      { userId, except: except ?? null },
      'ending the sessions of a user'
    )
    return rows.length
  }

  async endAll(): Promise<number> {
    const doing = 'ending all sessions'
    let total = 0
    let cursor: string | null = ''
    while (cursor !== null) {
      const page: Array<{ cursor: string | null; ended: number }> = await this.#query(
        this.#statements.endPage,
        { cursor },
        doing
      )
      total += page[0]?.ended ?? 0
      cursor = page[0]?.cursor ?? null
    }
    const [rest] = await this.#query(this.#statements.endRest, {}, doing)
    return total + (rest?.ended ?? 0)
  }

  listByUser(userId: string): Promise<StoredSession[]> {
    return this.#query(this.#statements.listByUser, { userId }, 'listing the sessions of a user')
  }

  async idsByUser(userId: string): Promise<SessionId[]> {
    const rows = await this.#query(this.#statements.idsByUser, { userId }, 'listing the sessions of a user')
    return rows.map(({ id }) => id)
  }

  async countByUser(userId: string): Promise<number> {
    const doing = 'counting the sessions of a user'
    const [row] = await this.#query(this.#statements.countByUser, { userId }, doing)
    return row?.count ?? 0
  }

  async count(): Promise<number> {
    const [row] = await this.#query(this.#statements.count, {}, 'counting sessions')
    return row?.count ?? 0
  }

  async *scan(): AsyncGenerator<StoredSession, void, undefined> {
    let cursor = ''
    for (;;) {
      const page = await this.#query(this.#statements.page, { cursor }, 'reading all sessions')
      yield* page
      const last = page.at(-1)
      if (last === undefined || page.length < PAGE_ROWS) return
      cursor = last.id
    }
  }

  /** Rests after each step for four times as long as that took: nobody waits for it, and others use the server. */
  async prune(signal?: AbortSignal): Promise<number> {
    let removed = 0
    for (;;) {
      const start = performance.now()
      const [batch] = await this.#query(this.#statements.prune, {}, 'removing expired sessions')
      if (!batch?.won) return removed
      removed += batch.removed
      if (batch.visited < PRUNE_ROWS) return removed
      const rest = delay(PRUNE_REST * (performance.now() - start), undefined, signal && { signal })
      await rest.catch(() => {}) // cut short by the signal
      if (signal?.aborted) return removed
    }
  }

  async ping(): Promise<void> {
    await this.#query(this.#statements.ping, {}, 'a ping')
  }

  override disconnect(): Promise<void> {
    this.#disconnected ??= this.#disconnect()
    return this.#disconnected
  }

  override get<Value>(key: string): Promise<KeyvStorageGetResult<Value>> {
    return this.#view.get(key) as Promise<KeyvStorageGetResult<Value>> // Keyv lets the caller name the type
  }
  override getMany<Value>(keys: string[]): Promise<Array<KeyvStorageGetResult<Value | undefined>>> {
    return this.#view.getMany(keys) as Promise<Array<KeyvStorageGetResult<Value | undefined>>> // as in get
  }
  override set(key: string, value: unknown, expires?: number): Promise<boolean> {
    return this.#view.set(key, value, expires)
  }
  override setMany<Value>(entries: KeyvStorageEntry<Value>[]): Promise<boolean[]> {
    return this.#view.setMany(entries)
  }
  override delete(key: string): Promise<boolean> {
    return this.#view.delete(key)
  }
  override deleteMany(keys: string[]): Promise<boolean[]> {
    return this.#view.deleteMany(keys)
  }
  override has(key: string): Promise<boolean> {
    return this.#view.has(key)
  }
  override hasMany(keys: string[]): Promise<boolean[]> {
    return this.#view.hasMany(keys)
  }
  override clear(): Promise<void> {
    return this.#view.clear()
  }
  override clearExpired(): Promise<void> {
    return this.#view.clearExpired()
  }
  override iterator(): AsyncGenerator<[string, string], void, unknown> {
    // Upstream declares strings; what a store yields is what its own get() answers.
    return this.#view.iterator() as unknown as AsyncGenerator<[string, string], void, unknown>
  }

  get #policy(): StoragePolicy {
    return this.#requireConfigured().policy
  }

  get #calls(): SessionCalls {
    return this.#requireConfigured().calls
  }

  #requireConfigured(): Configured {
    if (this.#configured === undefined) {
      throw new ConfigurationError(
        'The PostgreSQL store belongs to no session service yet: pass it to one first.'
      )
    }
    return this.#configured
  }

  /** A call on single sessions: in turn with the others on the same ids, together with the others of its kind. */
  #call<Input, Output>(
    kind: BatchKind<Input, Output>,
    ids: readonly SessionId[],
    input: Input,
    bytes = 0
  ): Promise<Output> {
    if (this.#disconnected) return Promise.reject(closedError())
    if (this.#isReady) return this.#batcher.submit(kind, ids, input, bytes)
    return this.ready().then(() => this.#batcher.submit(kind, ids, input, bytes))
  }

  /** A call on many sessions: a statement of its own, beside the batches. */
  async #query<Row>(statement: Statement<Row>, values: ParameterValues, doing: string): Promise<Row[]> {
    if (this.#disconnected) throw closedError()
    this.#underWay++
    try {
      if (!this.#isReady) await this.ready()
      const parameters = { ...policyParameters(this.#policy), ...values }
      for (let attempt = 0; ; attempt++) {
        try {
          return await this.#pool.query(statement, parameters, doing)
        } catch (error) {
          if (remedyFor(error) !== 'retry' || attempt >= MAX_DEADLOCK_RETRIES) throw error
          await delay(Math.random() * 2 ** attempt * 5)
        }
      }
    } finally {
      if (--this.#underWay === 0) this.#drained?.()
    }
  }

  async #prepare(): Promise<void> {
    await this.#pool.checkPlanning()
    await ensureSchema(this.#pool, this.#options, this.#options.migrate)
  }

  async #disconnect(): Promise<void> {
    await this.#batcher.drained()
    if (this.#underWay > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve
      })
    }
    await this.#ready?.catch(() => {}) // whoever called ready() has been told
    await this.#pool.end()
  }
}

function closedError(): ClosedError {
  return new ClosedError('The PostgreSQL session store is closed.')
}

function bytesOf(entry: SessionEntry): number {
  return entry.value.length
}
