import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { BackendError } from '../../core/errors.ts'
import type { SessionId } from '../../core/session.ts'
import type {
  PutOutcome,
  ReplaceOutcome,
  SessionEntry,
  SessionTimes,
  StoragePolicy,
  StoredSession
} from '../backend.ts'
import { prepareStatements, type SessionStatements } from './statements.ts'

/** The columns of `find`, in its order. */
type FoundColumns = readonly [
  rowid: number,
  isSession: 0 | 1,
  userId: string | null,
  createdAt: number,
  expiresAt: number,
  idleTimeoutMs: number | null,
  version: number,
  pruneAt: number,
  successor: string | null
]

/** A row as a write finds it: a session or a tombstone, live or not. */
interface FoundRow {
  readonly rowid: number
  readonly isSession: boolean
  readonly userId: string | null
  readonly createdAt: number
  readonly expiresAt: number
  readonly idleTimeoutMs: number | null
  readonly version: number
  readonly pruneAt: number
  /** Where rotation moved the session to; only in tombstones. */
  readonly successor: string | null
}

/** The columns of `read` and of the lists, in their order; `value` is null in a tombstone. */
type StoredRow = readonly [
  key: string,
  value: string | null,
  userId: string | null,
  createdAt: number,
  lastActiveAt: number,
  expires: number,
  idleTimeout: number | null,
  version: number
]

/** What a write computes before it is written. */
interface RowTimes {
  readonly now: number
  readonly createdAt: number
  readonly idleTimeoutMs: number | null
  readonly expiresAt: number
}

/** One step of a walk by rowid: how many rows matched, and the rowid to go on from; undefined: that was all. */
export interface Step {
  readonly matched: number
  readonly next: number | undefined
}

/** Rotations that `revoke` follows: far more than fit into the life of a tombstone. */
const MAX_SUCCESSORS = 10_000
const PAGE = 200

/**
 * The rows of one namespace. Every method is synchronous, and those that write expect to stand in a transaction that holds
 * the write lock: nothing can change between the row that they look at and the row that they write.
 */
export class SessionTable {
  readonly #sql: SessionStatements
  readonly #policy: StoragePolicy
  readonly #clock: () => number
  readonly #database: DatabaseSync

  constructor(database: DatabaseSync, table: string, policy: StoragePolicy, clock: () => number) {
    this.#database = database
    this.#sql = prepareStatements(database, table, policy.absoluteTimeoutMs)
    this.#policy = policy
    this.#clock = clock
  }

  read(id: SessionId): StoredSession | undefined {
    const row = one<StoredRow>(this.#sql.read, this.#policy.namespace, id)
    const now = this.#now()
    return row && isLive(row, now) ? storedSession(row, now) : undefined
  }

  insert(id: SessionId, entry: SessionEntry): SessionTimes | undefined {
    const times = this.#newTimes(entry)
    const { changes } = this.#sql.insert.run(
      this.#policy.namespace,
      id,
      entry.userId,
      times.expiresAt,
      times.now,
      times.now,
      times.idleTimeoutMs,
      times.expiresAt,
      entry.value
    )
    return changes === 0 ? undefined : sessionTimes(times, 1)
  }

  put(id: SessionId, entry: SessionEntry, ifMissing: 'insert' | 'refuse'): PutOutcome {
    const row = this.#find(id)
    const now = this.#now()
    if (row && row.expiresAt > now) {
      return row.isSession ? { outcome: 'stored', ...this.#write(row, entry, now) } : { outcome: 'ended' }
    }
    if (ifMissing === 'refuse') return { outcome: 'missing' }
    if (row) this.#sql.remove.run(row.rowid, now)
    const times = this.insert(id, entry)
    if (!times) throw new BackendError('A session id came back inside the transaction that removed it.')
    return { outcome: 'stored', ...times }
  }

  replace(id: SessionId, entry: SessionEntry, expectedVersion: number): ReplaceOutcome {
    const now = this.#now()
    const row = this.#findLive(id, now)
    if (!row) return { outcome: 'missing' }
    if (row.version !== expectedVersion) return { outcome: 'conflict' }
    return { outcome: 'stored', ...this.#write(row, entry, now) }
  }

  touch(id: SessionId, idleTimeoutMs?: number | null): SessionTimes | undefined {
    const now = this.#now()
    const row = this.#findLive(id, now)
    if (!row) return undefined
    const times = this.#extendedTimes(row, idleTimeoutMs, row.createdAt, now)
    if (times.expiresAt < row.pruneAt) {
      this.#sql.touchSooner.run(times.expiresAt, now, times.idleTimeoutMs, times.expiresAt, row.rowid)
    } else {
      this.#sql.touch.run(times.expiresAt, now, times.idleTimeoutMs, row.rowid)
    }
    return sessionTimes(times, row.version)
  }

  rotate(id: SessionId, newId: SessionId, entry?: SessionEntry): StoredSession | undefined {
    const now = this.#now()
    const row = this.#findLive(id, now)
    if (!row) return undefined
    if (this.#find(newId)) throw new BackendError('The new session id of a rotation is taken already.')
    const value = entry ? entry.value : this.#valueOf(row.rowid)
    const userId = entry ? entry.userId : row.userId
    const createdAt = userId === row.userId ? row.createdAt : now
    const times = this.#extendedTimes(row, entry?.idleTimeoutMs, createdAt, now)
    const version = entry ? row.version + 1 : row.version
    const { namespace, tombstoneMs } = this.#policy
    const tombstone = now + tombstoneMs
    this.#database.exec('savepoint rotation')
    try {
      this.#sql.moveRow.run(
        newId,
        value,
        userId,
        createdAt,
        times.expiresAt,
        now,
        times.idleTimeoutMs,
        version,
        Math.min(row.pruneAt, times.expiresAt),
        row.rowid
      )
      this.#sql.insertTombstone.run(namespace, id, tombstone, now, createdAt, tombstone, newId)
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('rollback to rotation; release rotation')
      throw error
    }
    this.#database.exec('release rotation')
    return { id: newId, value, userId, ...sessionTimes(times, version) }
  }

  end(id: SessionId): boolean {
    const now = this.#now()
    const tombstone = now + this.#policy.tombstoneMs
    const { namespace } = this.#policy
    // The first leaves the index on `prune_at` alone, and finds nearly every row.
    return (
      this.#sql.end.run(tombstone, now, namespace, id, now, tombstone).changes === 1 ||
      this.#sql.endSooner.run(tombstone, now, tombstone, namespace, id, now).changes === 1
    )
  }

  revoke(id: SessionId, userId?: string): boolean {
    const now = this.#now()
    let present: string = id
    for (let hops = 0; hops < MAX_SUCCESSORS; hops++) {
      const row = this.#find(present)
      if (!row || row.expiresAt <= now) return false
      if (row.isSession)
        return (userId === undefined || userId === row.userId) && this.end(present as SessionId) // a key of this table
      if (row.successor === null) return false
      present = row.successor
    }
    throw new BackendError(
      `A session was rotated more than ${MAX_SUCCESSORS} times and could not be revoked by its old id.`
    )
  }

  endByUser(userId: string, except: SessionId | undefined): number {
    const now = this.#now()
    const { namespace, tombstoneMs } = this.#policy
    const tombstone = now + tombstoneMs
    const { changes } = this.#sql.endByUser.run(
      tombstone,
      now,
      tombstone,
      namespace,
      userId,
      now,
      except ?? ''
    )
    return Number(changes)
  }

  /** 0 in an empty table. */
  lastRowid(): number {
    return one<[number | null]>(this.#sql.lastRowid)?.[0] ?? 0
  }

  /** Ends the live sessions among the next rows after a rowid. */
  endSome(after: number, rows: number): Step {
    const upTo = this.#rangeEnd(after, rows)
    if (upTo === undefined) return { matched: 0, next: undefined }
    const now = this.#now()
    const { namespace, tombstoneMs } = this.#policy
    const tombstone = now + tombstoneMs
    const { changes } = this.#sql.endRange.run(tombstone, now, tombstone, after, upTo, namespace, now)
    return { matched: Number(changes), next: upTo }
  }

  /** Counts the live sessions among the next rows after a rowid. */
  countSome(after: number, rows: number): Step {
    const upTo = this.#rangeEnd(after, rows)
    if (upTo === undefined) return { matched: 0, next: undefined }
    const { namespace } = this.#policy
    return {
      matched: one<[number]>(this.#sql.countRange, after, upTo, namespace, this.#now())?.[0] ?? 0,
      next: upTo
    }
  }

  listByUser(userId: string): StoredSession[] {
    const now = this.#now()
    return all<StoredRow & readonly [string, string]>(
      this.#sql.listByUser,
      this.#policy.namespace,
      userId,
      now
    ).map((row) => storedSession(row, now))
  }

  idsByUser(userId: string): SessionId[] {
    return all<[SessionId]>(this.#sql.idsByUser, this.#policy.namespace, userId, this.#now()).map(
      ([id]) => id
    )
  }

  countByUser(userId: string): number {
    return one<[number]>(this.#sql.countByUser, this.#policy.namespace, userId, this.#now())?.[0] ?? 0
  }

  /** The live sessions among the next rows by id after `cursor`, and the id to go on from (undefined: that was all). */
  page(cursor: string): { sessions: StoredSession[]; next: string | undefined } {
    const rows = all<StoredRow>(this.#sql.page, this.#policy.namespace, cursor, PAGE)
    const now = this.#now()
    const sessions = rows.filter((row) => isLive(row, now)).map((row) => storedSession(row, now))
    return { sessions, next: rows.length < PAGE ? undefined : rows.at(-1)?.[0] }
  }

  /**
   * Looks at the rows that have been due longest: removes what has expired, notes a later date for what was used since.
   * @returns how many sessions (not tombstones) were removed, and whether there may be more rows to look at.
   */
  pruneSome(rows: number): { removed: number; more: boolean } {
    const now = this.#now()
    const due = all<[rowid: number, isSession: 0 | 1, expires: number]>(
      this.#sql.due,
      this.#policy.namespace,
      now,
      rows
    )
    let removed = 0
    for (const [rowid, isSession, expires] of due) {
      if (expires > now) this.#sql.pruneLater.run(rowid)
      else if (this.#sql.remove.run(rowid, now).changes === 1) removed += isSession
    }
    return { removed, more: due.length === rows }
  }

  /** Reads a page of the table: an unreadable file fails here. */
  ping(): void {
    this.#sql.lastRowid.get()
  }

  #now(): number {
    return this.#clock()
  }

  #find(id: string): FoundRow | undefined {
    const row = one<FoundColumns>(this.#sql.find, this.#policy.namespace, id)
    if (row === undefined) return undefined
    const [rowid, isSession, userId, createdAt, expiresAt, idleTimeoutMs, version, pruneAt, successor] = row
    return {
      rowid,
      isSession: isSession === 1,
      userId,
      createdAt,
      expiresAt,
      idleTimeoutMs,
      version,
      pruneAt,
      successor
    }
  }

  #findLive(id: SessionId, now: number): FoundRow | undefined {
    const row = this.#find(id)
    return row?.isSession && row.expiresAt > now ? row : undefined
  }

  /** The last of the next rows after a rowid, of any namespace; undefined: there are none. */
  #rangeEnd(after: number, rows: number): number | undefined {
    return one<[number | null]>(this.#sql.rangeEnd, after, rows)?.[0] ?? undefined
  }

  #valueOf(rowid: number): string {
    const value = one<[string]>(this.#sql.value, rowid)?.[0]
    if (value === undefined) throw new BackendError(`Row ${rowid} vanished inside a transaction.`)
    return value
  }

  /** Replaces the data of a live row. */
  #write(row: FoundRow, entry: SessionEntry, now: number): SessionTimes {
    const createdAt = entry.userId === row.userId ? row.createdAt : now
    const times = this.#extendedTimes(row, entry.idleTimeoutMs, createdAt, now)
    const version = row.version + 1
    const { expiresAt, idleTimeoutMs } = times
    if (entry.userId === row.userId && expiresAt >= row.pruneAt) {
      this.#sql.write.run(entry.value, expiresAt, now, idleTimeoutMs, version, row.rowid)
    } else {
      const pruneAt = Math.min(row.pruneAt, expiresAt)
      this.#sql.writeIndexed.run(
        entry.value,
        expiresAt,
        now,
        idleTimeoutMs,
        version,
        entry.userId,
        createdAt,
        pruneAt,
        row.rowid
      )
    }
    return sessionTimes(times, version)
  }

  #newTimes(entry: SessionEntry): RowTimes {
    const now = this.#now()
    const idleTimeoutMs = wholeMs(entry.idleTimeoutMs ?? null)
    return { now, createdAt: now, idleTimeoutMs, expiresAt: this.#expiry(now, now, idleTimeoutMs) }
  }

  #extendedTimes(row: FoundRow, idle: number | null | undefined, createdAt: number, now: number): RowTimes {
    const idleTimeoutMs = idle === undefined ? row.idleTimeoutMs : wholeMs(idle)
    return { now, createdAt, idleTimeoutMs, expiresAt: this.#expiry(now, createdAt, idleTimeoutMs) }
  }

  #expiry(now: number, createdAt: number, idleTimeoutMs: number | null): number {
    const idle = idleTimeoutMs ?? this.#policy.idleTimeoutMs
    return Math.min(now + idle, createdAt + this.#policy.absoluteTimeoutMs)
  }
}

function isLive(row: StoredRow, now: number): row is StoredRow & readonly [string, string] {
  return row[1] !== null && row[5] > now
}

function storedSession(row: StoredRow & readonly [string, string], now: number): StoredSession {
  return {
    id: row[0] as SessionId, // keys are written from session ids only
    value: row[1],
    userId: row[2],
    createdAt: row[3],
    lastActiveAt: row[4],
    expiresAt: row[5],
    idleTimeoutMs: row[6],
    version: row[7],
    now
  }
}

function sessionTimes(times: RowTimes, version: number): SessionTimes {
  const { createdAt, expiresAt, idleTimeoutMs, now } = times
  return { createdAt, lastActiveAt: now, expiresAt, idleTimeoutMs, version, now }
}

function wholeMs(idleTimeoutMs: number | null): number | null {
  return idleTimeoutMs === null ? null : Math.ceil(idleTimeoutMs)
}

// The driver's types know rows as objects only; `prepareStatements` asks for arrays, and each SELECT's order is its tuple's.
function one<Row extends readonly unknown[]>(
  statement: StatementSync,
  ...parameters: SQLInputValue[]
): Row | undefined {
  return statement.get(...parameters) as unknown as Row | undefined
}

function all<Row extends readonly unknown[]>(
  statement: StatementSync,
  ...parameters: SQLInputValue[]
): Row[] {
  return statement.all(...parameters) as unknown as Row[]
}
