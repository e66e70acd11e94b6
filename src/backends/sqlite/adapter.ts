import { resolve } from 'node:path'
import type { SQLInputValue } from 'node:sqlite'
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import type { KeyvStorageEntry, KeyvStorageGetResult } from 'keyv'
import { ClosedError, ConfigurationError, SchemaError } from '../../core/errors.ts'
import type { SessionId } from '../../core/session.ts'
import {
  type PutOutcome,
  type ReplaceOutcome,
  type SessionEntry,
  type SessionStorage,
  type SessionTimes,
  type StoragePolicy,
  type StoredSession,
  WHOLE_GUARANTEES
} from '../backend.ts'
import { keyvView } from '../keyv-view.ts'
import { Checkpointer } from './checkpointer.ts'
import { type Durability, openConnection, type SqliteConnection } from './connection.ts'
import { prepareDatabaseFile } from './database-file.ts'
import { GroupCommit, type Job } from './group-commit.ts'
import { lockRetryDelayMs } from './lock-retry.ts'
import { LogSync } from './log-sync.ts'
import { isBusy, isSqlError, sessionErrorOf } from './result-code.ts'
import { VERSION_TABLE } from './schema.ts'
import { SessionTable } from './session-table.ts'
import { KeyvSqliteSeams } from './upstream.ts'

export interface SqliteSessionStorageOptions {
  /** `:memory:`, or the path of a file, taken from the working folder where it is relative. */
  readonly path: string
  readonly table: string
  /** How long an operation waits for a lock that another process holds; the event loop stays free meanwhile. */
  readonly busyTimeoutMs: number
  /** What saves survive besides a crash of the process: `full` power loss too. Ends of sessions always do. */
  readonly durability: Durability
  /** The store's clock, in milliseconds since the epoch. Default: Date.now. */
  readonly now?: () => number
}

/** Rows that one step of `endAll`, `count` or `prune` looks at, before other events get their turn. */
const STEP_ROWS = 500

const TABLE_NAME = /^[A-Za-z_]\w{0,62}$/

const TRANSACTION_CONTROL = /^\s*(begin|commit|end|rollback|savepoint|release|vacuum|attach|detach)\b/i

interface OpenStore {
  readonly connection: SqliteConnection
  readonly table: SessionTable
  readonly writer: GroupCommit
  /** Both undefined for a database in memory, which has no log. */
  readonly checkpointer: Checkpointer | undefined
  readonly logSync: LogSync | undefined
}

/** Sessions in one SQLite file, shared by any number of processes on one machine. Made by `connect`, or by hand. */
export class SqliteSessionStorage extends KeyvSqliteSeams implements SessionStorage {
  readonly sessionStorage = 1
  readonly backend = 'sqlite'
  readonly guarantees = { ...WHOLE_GUARANTEES, clock: 'process' } as const
  /** Follows the injected clock, so that touches are throttled by it too. */
  readonly monotonicNow: () => number
  readonly #path: string
  readonly #options: SqliteSessionStorageOptions
  readonly #now: () => number
  readonly #view = keyvView(this, () => this.#requirePolicy())
  #policy: StoragePolicy | undefined
  #open: OpenStore | undefined
  #opening: Promise<void> | undefined
  /** Calls that came before the file was open, in their order. */
  #early: Array<{ readonly start: (open: OpenStore) => void; readonly fail: (error: unknown) => void }> = []
  #closing: Promise<void> | undefined
  readonly #underWay = new Set<Promise<unknown>>()

  constructor(options: SqliteSessionStorageOptions) {
    const path = options.path === ':memory:' ? options.path : resolve(options.path)
    requireTableName(options.table)
    super(path, options.table)
    this.#path = path
    this.#options = options
    const now = options.now ?? Date.now
    // Columns of times hold integers, and nothing else.
    this.#now = () => Math.floor(now())
    this.monotonicNow = options.now ?? (() => performance.now())
  }

  configure(policy: StoragePolicy): void {
    const former = this.#policy
    if (former === undefined) {
      this.#policy = policy
      return
    }
    const differs = (['namespace', 'idleTimeoutMs', 'absoluteTimeoutMs', 'tombstoneMs'] as const).find(
      (name) => policy[name] !== former[name]
    )
    if (differs !== undefined) {
      throw new ConfigurationError(
        `The SQLite store ${this.#path} already serves a service with ${differs} ${former[differs]}, and cannot serve ` +
          `one with ${policy[differs]}. Give both the same options, or each its own store.`
      )
    }
  }

  ready(): Promise<void> {
    return this.#whenOpen(() => Promise.resolve())
  }

  read(id: SessionId): Promise<StoredSession | undefined> {
    return this.#whenOpen((open) => {
      const wait = open.writer.concerns(id)
      return this.#read(open, (table) => table.read(id), wait)
    })
  }

  insert(id: SessionId, entry: SessionEntry): Promise<SessionTimes | undefined> {
    return this.#write((table) => table.insert(id, entry), { changes: [id], characters: entry.value.length })
  }

  put(id: SessionId, entry: SessionEntry, ifMissing: 'insert' | 'refuse'): Promise<PutOutcome> {
    return this.#write((table) => table.put(id, entry, ifMissing), {
      changes: [id],
      characters: entry.value.length
    })
  }

  replace(id: SessionId, entry: SessionEntry, expectedVersion: number): Promise<ReplaceOutcome> {
    const characters = entry.value.length
    return this.#write((table) => table.replace(id, entry, expectedVersion), { changes: [id], characters })
  }

  touch(id: SessionId, idleTimeoutMs?: number | null): Promise<SessionTimes | undefined> {
    return this.#write((table) => table.touch(id, idleTimeoutMs), { changes: [id] })
  }

  rotate(id: SessionId, newId: SessionId, entry?: SessionEntry): Promise<StoredSession | undefined> {
    const characters = entry?.value.length ?? 0
    return this.#write((table) => table.rotate(id, newId, entry), {
      changes: [id, newId],
      durable: true,
      characters
    })
  }

  end(id: SessionId): Promise<boolean> {
    return this.#write((table) => table.end(id), { changes: [id], durable: true })
  }

  revoke(id: SessionId, userId?: string): Promise<boolean> {
    return this.#write((table) => table.revoke(id, userId), { changes: [id], durable: true })
  }

  endByUser(userId: string, except?: SessionId): Promise<number> {
    return this.#write((table) => table.endByUser(userId, except), { changes: 'any', durable: true })
  }

  /**
   * A row keeps its rowid for life, rotations included, so one walk by rowid, up to the last one there was at the start,
   * meets every session that was live then.
   */
  endAll(): Promise<number> {
    return this.#longWork(async ({ table, writer }) => {
      const last = await writer.submit({ run: () => table.lastRowid(), changes: 'any' })
      let ended = 0
      for (let after = 0; after < last; ) {
        const from = after
        const step = await writer.submit({
          run: () => table.endSome(from, STEP_ROWS),
          changes: 'any',
          durable: true
        })
        ended += step.matched
        after = step.next ?? last
      }
      return ended
    })
  }

  /** Counts in steps by rowid, as `endAll` walks: a session that is live all the while is counted once. */
  count(): Promise<number> {
    return this.#longWork(async (open) => {
      let total = 0
      for (let after: number | undefined = 0; after !== undefined; ) {
        const from: number = after
        const step = await this.#readIn(open, (table) => table.countSome(from, STEP_ROWS))
        total += step.matched
        after = step.next
        if (after !== undefined) await nextTurn()
      }
      return total
    })
  }

  listByUser(userId: string): Promise<StoredSession[]> {
    return this.#whenOpen((open) => this.#readIn(open, (table) => table.listByUser(userId)))
  }

  idsByUser(userId: string): Promise<SessionId[]> {
    return this.#whenOpen((open) => this.#readIn(open, (table) => table.idsByUser(userId)))
  }

  countByUser(userId: string): Promise<number> {
    return this.#whenOpen((open) => this.#readIn(open, (table) => table.countByUser(userId)))
  }

  async *scan(): AsyncGenerator<StoredSession, void, undefined> {
    for (let cursor: string | undefined = ''; cursor !== undefined; ) {
      const after: string = cursor
      const page = await this.#whenOpen((open) => this.#readIn(open, (table) => table.page(after)))
      yield* page.sessions
      cursor = page.next
      if (cursor !== undefined) await nextTurn()
    }
  }

  prune(signal?: AbortSignal): Promise<number> {
    return this.#longWork(async ({ table, writer }) => {
      let pruned = 0
      for (;;) {
        const { removed, more } = await writer.submit({
          run: () => table.pruneSome(STEP_ROWS),
          changes: 'nothing'
        })
        pruned += removed
        if (!more || signal?.aborted) return pruned
      }
    })
  }

  ping(): Promise<void> {
    return this.#whenOpen((open) => this.#readIn(open, (table) => table.ping()))
  }

  disconnect(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  get<Value>(key: string): Promise<KeyvStorageGetResult<Value>> {
    return this.#view.get(key) as Promise<KeyvStorageGetResult<Value>> // Keyv's caller names the type of the data
  }

  getMany<Value>(keys: string[]): Promise<Array<KeyvStorageGetResult<Value | undefined>>> {
    return this.#view.getMany(keys) as Promise<Array<KeyvStorageGetResult<Value | undefined>>> // as above
  }

  set(key: string, value: unknown, expires?: number): Promise<boolean> {
    return this.#view.set(key, value, expires)
  }

  setMany<Value>(entries: KeyvStorageEntry<Value>[]): Promise<boolean[]> {
    return this.#view.setMany(entries)
  }

  delete(key: string): Promise<boolean> {
    return this.#view.delete(key)
  }

  deleteMany(keys: string[]): Promise<boolean[]> {
    return this.#view.deleteMany(keys)
  }

  has(key: string): Promise<boolean> {
    return this.#view.has(key)
  }

  hasMany(keys: string[]): Promise<boolean[]> {
    return this.#view.hasMany(keys)
  }

  clear(): Promise<void> {
    return this.#view.clear()
  }

  clearExpired(): Promise<void> {
    return this.#view.clearExpired()
  }

  iterator<Value>(): AsyncGenerator<Array<string | Awaited<Value> | undefined>, void> {
    // As in `get`; Keyv's type for the pair of key and value is an array.
    return this.#view.iterator() as AsyncGenerator<Array<string | Awaited<Value> | undefined>, void>
  }

  get namespace(): string | undefined {
    return this.#policy?.namespace
  }

  /** Keyv hands its own namespace to its store; ours comes with the policy. */
  set namespace(value: string | undefined) {
    if (this.#policy === undefined || value === undefined || value === this.#policy.namespace) return
    throw new ConfigurationError(
      `The SQLite store ${this.#path} has the namespace "${this.#policy.namespace}"; a Keyv with another one needs a ` +
        'store of its own.'
    )
  }

  protected override runQuery(sql: string, parameters: readonly unknown[]): Promise<unknown[]> {
    if (TRANSACTION_CONTROL.test(sql)) {
      const message = 'query() runs inside a transaction of the store, which it must not begin or end itself.'
      return Promise.reject(new ConfigurationError(message))
    }
    return this.#whenOpen(({ connection, writer }) =>
      writer.submit({
        // What cannot be bound, the driver refuses with an error of its own.
        run: () => connection.database.prepare(sql).all(...(parameters as SQLInputValue[])),
        changes: 'any'
      })
    )
  }

  #write<T>(run: (table: SessionTable) => T, job: Omit<Job<T>, 'run'>): Promise<T> {
    return this.#whenOpen(({ table, writer }) => writer.submit({ ...job, run: () => run(table) }))
  }

  /** A read of many sessions: what waits may change it. */
  #readIn<T>(open: OpenStore, run: (table: SessionTable) => T): Promise<T> {
    return this.#read(open, run, !open.writer.idle)
  }

  /** Reads what is committed, at once; or, where calls before it are waiting, in its turn among them. */
  #read<T>({ table, writer }: OpenStore, run: (table: SessionTable) => T, inTurn: boolean): Promise<T> {
    if (!inTurn) {
      try {
        return Promise.resolve(run(table))
      } catch (error) {
        // The log of a process that crashed is being recovered by another one: the writer knows how to wait.
        if (!isBusy(error)) return Promise.reject(sessionErrorOf(error, this.#path))
      }
    }
    return writer.submit({ run: () => run(table), changes: 'nothing' })
  }

  /** Work in several transactions, which `disconnect` lets come to its end. */
  #longWork<T>(run: (open: OpenStore) => Promise<T>): Promise<T> {
    return this.#whenOpen((open) => {
      const work = run(open)
      const forget = () => this.#underWay.delete(work)
      this.#underWay.add(work)
      work.then(forget, forget)
      return work
    })
  }

  #whenOpen<T>(work: (open: OpenStore) => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) {
      return Promise.reject(new ClosedError(`The SQLite store ${this.#path} is closed.`))
    }
    if (this.#open !== undefined) return work(this.#open)
    return new Promise((resolve, reject) => {
      this.#early.push({ start: (open) => work(open).then(resolve, reject), fail: reject })
      this.#opening ??= this.#openFile()
    })
  }

  /** Answers through the calls that wait for it, and so never rejects. */
  async #openFile(): Promise<void> {
    try {
      const open = await this.#openPatiently(this.#requirePolicy())
      this.#open = open
      // All of them start before anything that is called from now on.
      for (const { start } of this.#early.splice(0)) start(open)
    } catch (error) {
      const told = sessionErrorOf(error, this.#path)
      for (const { fail } of this.#early.splice(0)) fail(told)
    }
    this.#opening = undefined
  }

  async #openPatiently(policy: StoragePolicy): Promise<OpenStore> {
    const deadline = performance.now() + this.#options.busyTimeoutMs
    if (this.#path !== ':memory:') await prepareDatabaseFile(this.#path)
    for (let attempt = 0; ; attempt++) {
      try {
        return this.#openOnce(policy)
      } catch (error) {
        if (!isBusy(error) || performance.now() >= deadline) throw error
        await delay(lockRetryDelayMs(attempt))
      }
    }
  }

  #openOnce(policy: StoragePolicy): OpenStore {
    const { busyTimeoutMs, durability, table: name } = this.#options
    const path = this.#path
    const connection = openConnection({ path, table: name, now: this.#now })
    try {
      const table = new SessionTable(connection.database, name, policy, this.#now)
      const hasLog = path !== ':memory:'
      const checkpointer = hasLog ? new Checkpointer(path, connection) : undefined
      const logSync = hasLog ? new LogSync(path) : undefined
      const writer = new GroupCommit({ connection, path, busyTimeoutMs, durability, checkpointer, logSync })
      return { connection, table, writer, checkpointer, logSync }
    } catch (error) {
      connection.close()
      if (!isSqlError(error)) throw error
      throw new SchemaError(
        `The table "${name}" in the SQLite database ${path} lacks columns that its recorded schema version has. Restore a ` +
          'backup, or choose another name with the option sqlite.table.',
        { cause: error }
      )
    }
  }

  async #close(): Promise<void> {
    await this.#opening
    const open = this.#open
    if (open === undefined) return
    await Promise.allSettled(this.#underWay)
    await open.writer.drained()
    await open.checkpointer?.close()
    await open.logSync?.close()
    this.#open = undefined
    open.connection.close()
  }

  #requirePolicy(): StoragePolicy {
    if (this.#policy === undefined)
      throw new ConfigurationError('The SQLite store was used before configure().')
    return this.#policy
  }
}

function requireTableName(table: string): void {
  if (TABLE_NAME.test(table) && !/^sqlite_/i.test(table) && table.toLowerCase() !== VERSION_TABLE) return
  throw new ConfigurationError(
    `The name of the SQLite table must be 1 to 63 letters, digits and underscores, must not begin with a digit or with ` +
      `"sqlite_", and must not be ${VERSION_TABLE}; got ${JSON.stringify(table)}.`
  )
}
