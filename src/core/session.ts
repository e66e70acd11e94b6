import type tag from 'tagged-tag'

/*
 * The words, used the same way everywhere (docs/design.md has the whole table):
 *
 *   token       the secret that the client holds in its cookie; never stored, logged or listed
 *   session id  SHA-256 of the token: the database key, safe to log and show
 *   user id     what the session is indexed by; null while nobody is signed in
 *   touch       extend the idle timeout without writing the data
 *   rotate      give a session a new token, and so a new id; the old one is dead from then on
 *   end         destroy, revoke, clear, rotate (the old id)
 *   tombstone   what stays of an ended id for a while, so that nothing brings it back
 */

/**
 * What type-fest's `Tagged<string, Name>` is, and interchangeable with it. type-fest itself would be checked in whole by
 * every consumer whose `tsc` checks libraries, which takes half a minute.
 */
type TaggedString<Name extends string> = string & { readonly [tag]: { [Key in Name]: never } }

/** The secret that the client holds: 43 characters of base64url where the service made it. */
export type SessionToken = TaggedString<'SessionToken'>

/** SHA-256 of the token, base64url, 43 characters: the database key. Safe to log, list and show. */
export type SessionId = TaggedString<'SessionId'>

/**
 * A session as its owner or an operator may see it. All times are the store's clock: the database server's on
 * PostgreSQL, the machine's on SQLite.
 */
export interface SessionInfo<T extends object = Record<string, unknown>> {
  readonly id: SessionId
  /** What the data named as its user when it was last written; null while nobody is signed in. */
  readonly userId: string | null
  /** When the session was created, or last changed its user: the absolute timeout counts from here. */
  readonly createdAt: Date
  /** The last save, or the last touch that was written (touches are throttled by `touchAfterMs`). */
  readonly lastActiveAt: Date
  /** When the session ends unless it is used before; never later than the absolute timeout allows. */
  readonly expiresAt: Date
  /**
   * A private copy of the data. `undefined` only in a list, and only where the stored row cannot be read
   * (`load` and `update` throw {@link DataError} for such a row).
   */
  readonly data: T | undefined
}

/** A live session in the hands of its owner. */
export interface Session<T extends object = Record<string, unknown>> extends SessionInfo<T> {
  readonly data: T
  readonly token: SessionToken
  /**
   * Milliseconds that were left when the store answered. An adapter that must give its framework an absolute time
   * adds this to its own `Date.now()`, so that clocks that differ between node and database do no harm.
   */
  readonly expiresInMs: number
  /** This session's own idle timeout in milliseconds, where `put` or `touch` set one; null: the service's. */
  readonly idleTimeoutMs: number | null
}
