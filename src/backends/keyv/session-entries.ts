import type { SessionId } from '../../core/session.ts'
import type { SessionEntry, SessionTimes, StoragePolicy } from '../backend.ts'
import {
  type EntryKeys,
  endedText,
  movedText,
  parseEnded,
  parseSession,
  type Row,
  rowText
} from './entries.ts'
import type { EntryStore } from './entry-store.ts'
import { UserIndex } from './user-index.ts'

/** What an id has at the moment. */
export type Sight = { readonly now: number } & (
  | { readonly state: 'live' | 'expired'; readonly row: Row }
  | { readonly state: 'ended'; readonly movedTo?: SessionId }
  | { readonly state: 'missing' | 'unreadable' }
)

/**
 * The steps that operations on one session are made of: what stands under its id, and the writes, each of which is one
 * entry. Whoever calls has the session's turn.
 */
export class SessionEntries {
  readonly keys: EntryKeys
  readonly users: UserIndex
  readonly #policy: StoragePolicy
  readonly #entries: EntryStore
  readonly #now: () => number

  constructor(policy: StoragePolicy, keys: EntryKeys, entries: EntryStore, now: () => number) {
    this.keys = keys
    this.#policy = policy
    this.#entries = entries
    this.#now = now
    const isLive = async (id: SessionId) => (await this.look(id)).state === 'live'
    this.users = new UserIndex(entries, keys, policy.absoluteTimeoutMs, now, isLive)
  }

  async look(id: SessionId): Promise<Sight> {
    const [text, endedUntil] = await Promise.all([
      this.#entries.get(this.keys.sessions + id),
      this.endedUntil(id)
    ])
    const now = this.#now()
    const slot = text === undefined ? undefined : parseSession(text, this.#policy.absoluteTimeoutMs)
    if (slot?.kind === 'moved' && slot.until > now) return { now, state: 'ended', movedTo: slot.to }
    if (endedUntil > now) return { now, state: 'ended' }
    if (slot === undefined || slot.kind === 'moved') return { now, state: 'missing' }
    if (slot.kind === 'unreadable') return { now, state: 'unreadable' }
    return { now, state: slot.row.expiresAt > now ? 'live' : 'expired', row: slot.row }
  }

  async endedUntil(id: SessionId): Promise<number> {
    const text = await this.#entries.get(this.keys.ended + id)
    return text === undefined ? 0 : parseEnded(text)
  }

  changed(old: Row | undefined, entry: SessionEntry, now: number): Row {
    const { idleTimeoutMs = old?.idleTimeoutMs ?? null } = entry
    const { value, userId } = entry
    const createdAt = old && old.userId === userId ? old.createdAt : now
    const version = old ? old.version + 1 : 1
    return this.extended({ userId, createdAt, idleTimeoutMs, version, value }, now)
  }

  extended(row: Omit<Row, 'lastActiveAt' | 'expiresAt'>, now: number, own = row.idleTimeoutMs): Row {
    const { userId, createdAt, version, value } = row
    const deadline = createdAt + this.#policy.absoluteTimeoutMs
    const expiresAt = Math.min(now + (own ?? this.#policy.idleTimeoutMs), deadline)
    return { userId, createdAt, lastActiveAt: now, expiresAt, idleTimeoutMs: own, version, value }
  }

  /**
   * Stores the row, index first. Another process may have ended the session meanwhile: it leaves its tombstone, then removes
   * the row; this stores the row, then looks for a tombstone. Whichever comes second sees the other. undefined: ended.
   */
  async write(id: SessionId, row: Row, now: number): Promise<SessionTimes | undefined> {
    if (row.userId !== null) await this.users.add(row.userId, id, row.createdAt)
    await this.#entries.set(this.keys.sessions + id, rowText(row), row.expiresAt - now)
    if ((await this.endedUntil(id)) > now) {
      await this.discard(id, row.userId)
      return undefined
    }
    const { createdAt, lastActiveAt, expiresAt, idleTimeoutMs, version } = row
    return { createdAt, lastActiveAt, expiresAt, idleTimeoutMs, version, now }
  }

  async discard(id: SessionId, userId: string | null): Promise<void> {
    await this.#entries.delete(this.keys.sessions + id)
    if (userId !== null) await this.users.remove(userId, id)
  }

  async leaveTombstone(id: SessionId, now: number): Promise<void> {
    const { tombstoneMs } = this.#policy
    await this.#entries.set(this.keys.ended + id, endedText(now + tombstoneMs), tombstoneMs)
  }

  async leaveWayTo(newId: SessionId, id: SessionId, now: number): Promise<void> {
    const { tombstoneMs } = this.#policy
    await this.#entries.set(this.keys.sessions + id, movedText(newId, now + tombstoneMs), tombstoneMs)
  }

  /** Where the session has gone, if it has been rotated. */
  async movedTo(id: SessionId): Promise<SessionId | undefined> {
    const text = await this.#entries.get(this.keys.sessions + id)
    const slot = text === undefined ? undefined : parseSession(text, this.#policy.absoluteTimeoutMs)
    return slot?.kind === 'moved' ? slot.to : undefined
  }

  /** Removes what is over under a key of this id; true if that was an expired session. */
  async prune(id: SessionId, key: string): Promise<boolean> {
    const sight = await this.look(id)
    if (sight.state === 'expired') {
      await this.discard(id, sight.row.userId)
      return true
    }
    // A tombstone that is over beside a session that is live again under the same token: remove the tombstone alone.
    const isOver = sight.state === 'missing' || (sight.state === 'live' && key.startsWith(this.keys.ended))
    if (isOver) await this.#entries.delete(key)
    return false
  }
}
