import type { KeyvStorageAdapter } from 'keyv'
import type { SessionId } from '../core/session.ts'
import type { SeenTimes } from '../core/touch-memory.ts'

/*
 * The contract between the service and a store. The service above it knows tokens, data, options and order; a store
 * below it knows rows, transactions and its own clock. Rules that hold for every method:
 *
 * - Each method takes effect at once or not at all, and resolves only when the store has answered. What the store could
 *   not do throws a SessionError (mapped once, inside the backend); `undefined`, `false` and 0 are answers.
 * - All times are milliseconds since the epoch on the store's own clock; the caller's clock is never asked.
 * - A row is live while it has a value and `expiresAt > now`. A tombstone has no value and no user id. A row or
 *   tombstone past its `expires` is treated as if it had been pruned already.
 * - Methods called on one id through one store take effect in the order of the calls.
 */

/** What one store is set to, once, by the service that owns it. */
export interface StoragePolicy {
  readonly namespace: string
  /** For rows that have no idle timeout of their own. */
  readonly idleTimeoutMs: number
  readonly absoluteTimeoutMs: number
  readonly tombstoneMs: number
  /** Checks and serialises data and reads its user id: what a write through Keyv's own API goes through. */
  readonly encode: (data: unknown) => SessionEntry
  /** The inverse; throws DataError. */
  readonly decode: (value: string) => object
  /** Told of each id that was written or ended through Keyv's own API; null: all. */
  readonly changedThroughKeyv: (id: SessionId | null) => void
}

/** A write: the data as JSON text and the user that it names, which reach the row in one statement. */
export interface SessionEntry {
  readonly value: string
  readonly userId: string | null
  /** undefined: a new row gets null (the policy's), an existing one keeps its own. null: back to the policy's. */
  readonly idleTimeoutMs?: number | null | undefined
}

/** The times of a live row. */
export interface SessionTimes extends SeenTimes {
  readonly lastActiveAt: number
  /** Counts changes of the data (1 after insert); touches do not count. */
  readonly version: number
}

export interface StoredSession extends SessionTimes {
  readonly id: SessionId
  readonly value: string
  readonly userId: string | null
}

export type PutOutcome =
  | ({ readonly outcome: 'stored' } & SeenTimes)
  | { readonly outcome: 'missing' | 'ended' }

export type ReplaceOutcome =
  | ({ readonly outcome: 'stored' } & SessionTimes)
  | { readonly outcome: 'missing' | 'conflict' }

/**
 * Between whom a promise holds: all processes that share the store, on whatever machine (`cluster`), or only services
 * within one process (`process`).
 */
export type GuaranteeScope = 'cluster' | 'process'

/** What a store can promise. SQLite and PostgreSQL promise all of it; a store behind a plain Keyv less. */
export interface SessionGuarantees {
  /** No write brings an ended session back, not even one that was in flight while it ended. */
  readonly endedStaysEnded: GuaranteeScope
  /** `update` loses no other update, and no touch undoes a save. */
  readonly atomicUpdate: GuaranteeScope
  /** Of two rotations at once one wins, and nothing that ends a session misses it while it is being rotated. */
  readonly atomicRotation: GuaranteeScope
  /** The index by user knows every session, at every moment: signing out everywhere misses none. */
  readonly userIndex: GuaranteeScope
  /** Whose clock decides expiry: the database server's, or that of each process (of its machine). */
  readonly clock: 'database' | 'process'
  /** Whether all sessions can be counted, dumped, pruned and cleared; if not, these throw ConfigurationError. */
  readonly listing: boolean
}

/** The promises of a store with transactions. */
export const WHOLE_GUARANTEES = {
  endedStaysEnded: 'cluster',
  atomicUpdate: 'cluster',
  atomicRotation: 'cluster',
  userIndex: 'cluster',
  listing: true
} as const satisfies Omit<SessionGuarantees, 'clock'>

/** A Keyv storage adapter that also knows sessions. The service calls these methods on `keyv.store`. */
export interface SessionStorage extends KeyvStorageAdapter {
  /** Marks the contract and its revision; see {@link isSessionStorage}. */
  readonly sessionStorage: 1

  /** The scheme-like name of the backend, for messages and bench tables: 'sqlite', 'postgres', … */
  readonly backend: string

  readonly guarantees: SessionGuarantees

  /** Whether expired rows vanish without `prune`, so that no timer need call it. Absent: they do not. */
  readonly expiresByItself?: boolean

  /** Milliseconds that never jump, for durations in this process; absent: `performance.now`. Fake clocks set it. */
  readonly monotonicNow?: () => number

  /**
   * Sets namespace and lifetimes; synchronous, called by the service's constructor. A second call with another policy
   * throws ConfigurationError: two services that share a store must agree.
   */
  configure(policy: StoragePolicy): void

  /** Resolves when the store is connected and its schema is there; rejects with what stands in the way. */
  ready(): Promise<void>

  /** The live session, or undefined. Writes nothing. */
  read(id: SessionId): Promise<StoredSession | undefined>

  /** Inserts a row that must not exist in any form, live, expired or tombstone; undefined: the id is taken. */
  insert(id: SessionId, entry: SessionEntry): Promise<SessionTimes | undefined>

  /**
   * Writes the entry whatever is stored. A live row is replaced (version + 1; `createdAt` starts anew when the user id
   * changes). A tombstone is never replaced: 'ended'. With no row: 'insert' inserts, 'refuse' answers 'missing'.
   */
  put(id: SessionId, entry: SessionEntry, ifMissing: 'insert' | 'refuse'): Promise<PutOutcome>

  /** Replaces the live row if its version is still the expected one. */
  replace(id: SessionId, entry: SessionEntry, expectedVersion: number): Promise<ReplaceOutcome>

  /**
   * Extends a live row's expiry by its idle timeout, up to the absolute deadline; undefined: no live row. With
   * `idleTimeoutMs` the row's own idle timeout is set to it first. Changes neither value nor version.
   */
  touch(id: SessionId, idleTimeoutMs?: number | null): Promise<SeenTimes | undefined>

  /**
   * Moves the live row to a new id and leaves a tombstone at the old one that names the new id, in one transaction;
   * undefined: no live row. With an entry the data is replaced as `put` would; without one only the id changes
   * (and the idle timeout is extended). Throws BackendError if the new id is taken.
   */
  rotate(id: SessionId, newId: SessionId, entry?: SessionEntry): Promise<StoredSession | undefined>

  /** Turns the live row into a tombstone; false: there was none. Does not follow rotations. */
  end(id: SessionId): Promise<boolean>

  /**
   * As `end`, but follows tombstones that rotation left to the session's present id, and, where a user id is given,
   * ends it only if it is that user's.
   */
  revoke(id: SessionId, userId?: string): Promise<boolean>

  /** Ends all live sessions of a user, save one; also those that are being rotated at this moment. */
  endByUser(userId: string, except?: SessionId): Promise<number>

  /** Ends all that was live when it began, in committed batches. */
  endAll(): Promise<number>

  /** The user's live sessions, most recently active first. */
  listByUser(userId: string): Promise<StoredSession[]>
  idsByUser(userId: string): Promise<SessionId[]>
  countByUser(userId: string): Promise<number>
  count(): Promise<number>

  /** All live sessions by id, read in pages. */
  scan(): AsyncIterable<StoredSession>

  /**
   * Removes expired rows and tombstones of this namespace, in batches, re-checking expiry in the same statement. The
   * number of expired sessions removed; tombstones are not counted. 0 where another node is at it already. When `signal`
   * aborts, the batch under way is the last one.
   */
  prune(signal?: AbortSignal): Promise<number>

  /** Asks the store for an answer; throws where there is none. */
  ping(): Promise<void>

  /** Answers what is under way, then closes. Later calls throw ClosedError. */
  disconnect(): Promise<void>
}

export function isSessionStorage(store: unknown): store is SessionStorage {
  return typeof store === 'object' && store !== null && (store as SessionStorage).sessionStorage === 1
}
