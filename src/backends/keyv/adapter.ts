import { Hookified } from 'hookified'
import {
  type Keyv,
  type KeyvStorageAdapter,
  type KeyvStorageCapability,
  type KeyvStorageEntry,
  type KeyvStorageGetResult,
  keyvStorageCapability
} from 'keyv'
import {
  BackendError,
  BackendUnavailableError,
  ClosedError,
  ConfigurationError,
  DataError
} from '../../core/errors.ts'
import type { SessionId } from '../../core/session.ts'
import { asSessionId } from '../../core/token.ts'
import type {
  PutOutcome,
  ReplaceOutcome,
  SessionEntry,
  SessionGuarantees,
  SessionStorage,
  SessionTimes,
  StoragePolicy,
  StoredSession
} from '../backend.ts'
import { type KeyvView, keyvView } from '../keyv-view.ts'
import { Deadline } from './deadline.ts'
import { type EntryKeys, entryKeys, parseEnded, parseSession, type SessionSlot } from './entries.ts'
import { EntryStore, type EntryText } from './entry-store.ts'
import { afterTurns, inTurn } from './keyed-turns.ts'
import { SessionEntries, type Sight } from './session-entries.ts'
import type { UserIndex } from './user-index.ts'

/** How many sessions are looked at together where all of them are. */
const PAGE_SIZE = 100

export interface KeyvStorageOptions {
  /** Milliseconds since the epoch. @default Date.now */
  readonly now?: () => number
  /** Milliseconds to wait for the store's answer, then BackendUnavailableError. @default 5_000 */
  readonly timeoutMs?: number
}

/**
 * Sessions over any Keyv, whatever its storage adapter: a session, its tombstone and the list of a user's sessions are
 * entries of their own (entries.ts). Keyv has no transaction and no compare-and-set, so what a database does in one
 * statement is done here in turns, one operation on a session at a time within this process, and in an order of writes
 * in which an interruption, or another process, does the least harm (docs/any-keyv.md says what is left).
 *
 * The process's clock decides expiry. Errors of the store, whatever they are, become BackendUnavailableError.
 */
export class KeyvSessionStorage extends Hookified implements SessionStorage {
  readonly sessionStorage = 1
  readonly backend = 'keyv'
  readonly guarantees: SessionGuarantees
  /** Whether pruning at intervals is needless: a scan of a large Redis is not cheap. */
  readonly expiresByItself: boolean

  readonly #entries: EntryStore
  readonly #deadline: Deadline
  readonly #now: () => number
  readonly #view: KeyvView
  #configured: { readonly policy: StoragePolicy; readonly one: SessionEntries } | undefined
  #closed = false

  /** @param keyv Its store is taken as it is now, with the Keyv's namespace, serialiser, compression and encryption. */
  constructor(keyv: Keyv, { now = Date.now, timeoutMs = 5_000 }: KeyvStorageOptions = {}) {
    super({ throwOnEmptyListeners: false })
    this.#now = now
    this.#deadline = new Deadline(timeoutMs)
    this.#entries = new EntryStore(keyv, this.#deadline)
    this.#view = keyvView(this, () => this.#policy)
    this.expiresByItself = this.#entries.expiresByItself
    this.guarantees = Object.freeze({
      endedStaysEnded: 'cluster',
      atomicUpdate: 'process',
      atomicRotation: 'process',
      userIndex: 'process',
      clock: 'process',
      listing: this.#entries.canList
    })
  }

  configure(policy: StoragePolicy): void {
    if (this.#configured)
      throw new ConfigurationError('This session storage belongs to another service already.')
    const one = new SessionEntries(policy, entryKeys(policy.namespace), this.#entries, this.#now)
    this.#configured = { policy, one }
  }

  ready(): Promise<void> {
    return this.ping()
  }

  async ping(): Promise<void> {
    await this.#limit(() => this.#entries.get(`${this.#keys.sessions}ping`))
  }

  async disconnect(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#deadline.limit(() => this.#entries.disconnect())
  }

  read(id: SessionId): Promise<StoredSession | undefined> {
    return this.#limit(() =>
      afterTurns(id, async () => {
        const sight = await this.#one.look(id)
        if (sight.state === 'unreadable') throw unreadable(id)
        return sight.state === 'live' ? { ...sight.row, id, now: sight.now } : undefined
      })
    )
  }

  insert(id: SessionId, entry: SessionEntry): Promise<SessionTimes | undefined> {
    return this.#inTurn(id, async () => {
      const { state, now } = await this.#one.look(id)
      return state === 'missing'
        ? this.#one.write(id, this.#one.changed(undefined, entry, now), now)
        : undefined
    })
  }

  put(id: SessionId, entry: SessionEntry, ifMissing: 'insert' | 'refuse'): Promise<PutOutcome> {
    return this.#inTurn(id, async () => {
      const sight = await this.#one.look(id)
      if (sight.state === 'unreadable') throw unreadable(id)
      if (sight.state === 'ended') return { outcome: 'ended' }
      if (sight.state !== 'live' && ifMissing === 'refuse') return { outcome: 'missing' }
      const times = await this.#replace(id, sight, entry)
      return times ? { outcome: 'stored', ...times } : { outcome: 'ended' }
    })
  }

  replace(id: SessionId, entry: SessionEntry, expectedVersion: number): Promise<ReplaceOutcome> {
    return this.#inTurn(id, async () => {
      const sight = await this.#one.look(id)
      if (sight.state === 'unreadable') throw unreadable(id)
      if (sight.state !== 'live') return { outcome: 'missing' }
      if (sight.row.version !== expectedVersion) return { outcome: 'conflict' }
      const times = await this.#replace(id, sight, entry)
      return times ? { outcome: 'stored', ...times } : { outcome: 'missing' }
    })
  }

  touch(id: SessionId, idleTimeoutMs?: number | null): Promise<SessionTimes | undefined> {
    return this.#inTurn(id, async () => {
      const sight = await this.#one.look(id)
      if (sight.state === 'unreadable') throw unreadable(id)
      if (sight.state !== 'live') return undefined
      return this.#one.write(id, this.#one.extended(sight.row, sight.now, idleTimeoutMs), sight.now)
    })
  }

  rotate(id: SessionId, newId: SessionId, entry?: SessionEntry): Promise<StoredSession | undefined> {
    return this.#inTurn(id, async () => {
      const sight = await this.#one.look(id)
      if (sight.state === 'unreadable') throw unreadable(id)
      if (sight.state !== 'live') return undefined
      const { row: old, now } = sight
      if ((await this.#one.look(newId)).state !== 'missing')
        throw new BackendError(`The session id ${newId} is taken.`)
      const row = entry ? this.#one.changed(old, entry, now) : this.#one.extended(old, now)
      const times = await this.#one.write(newId, row, now)
      // From here on whoever finds the old id finds the new one through it; what ended the old one before that is seen now.
      await this.#one.leaveWayTo(newId, id, now)
      if (times === undefined || (await this.#one.endedUntil(id)) > now) {
        await this.#one.discard(newId, row.userId)
        return undefined
      }
      await this.#one.leaveTombstone(id, now)
      // Another process may have written over the way meanwhile, and looked for the tombstone before it was there.
      await this.#one.leaveWayTo(newId, id, now)
      if (old.userId !== null) await this.#users.remove(old.userId, id)
      return { ...row, id: newId, now }
    })
  }

  end(id: SessionId): Promise<boolean> {
    return this.#inTurn(id, async () => {
      const sight = await this.#one.look(id)
      if (sight.state !== 'live' && sight.state !== 'unreadable') return false
      await this.#end(id, sight)
      return true
    })
  }

  revoke(id: SessionId, userId?: string): Promise<boolean> {
    return this.#endFollowing(id, { userId })
  }

  async endByUser(userId: string, except?: SessionId): Promise<number> {
    let ended = 0
    const ids = [...(await this.#limit(() => this.#users.members(userId))).keys()]
    for (let from = 0; from < ids.length; from += PAGE_SIZE) {
      const page = ids.slice(from, from + PAGE_SIZE)
      const ends = await Promise.all(page.map((id) => this.#endFollowing(id, { userId, except })))
      ended += ends.filter(Boolean).length
    }
    return ended
  }

  async endAll(): Promise<number> {
    let ended = 0
    for await (const page of this.#pages()) {
      // A session that is rotated ahead of the list is reached through its old id, whose entry stays.
      const ends = await Promise.all(page.map(([id]) => this.#endFollowing(id, {})))
      ended += ends.filter(Boolean).length
    }
    return ended
  }

  async listByUser(userId: string): Promise<StoredSession[]> {
    const members = await this.#limit(() => this.#users.members(userId))
    const rows = await Promise.all(
      [...members].map(async ([id, createdAt]) => {
        const sight = await this.#limit(() => afterTurns(id, () => this.#one.look(id)))
        if (sight.state === 'unreadable') return this.#placeholder(id, userId, createdAt, sight.now)
        if (sight.state !== 'live' || sight.row.userId !== userId) return undefined
        return { ...sight.row, id, now: sight.now }
      })
    )
    return rows.filter((row) => row !== undefined).sort((a, b) => b.lastActiveAt - a.lastActiveAt)
  }

  async idsByUser(userId: string): Promise<SessionId[]> {
    return (await this.listByUser(userId)).map((row) => row.id)
  }

  async countByUser(userId: string): Promise<number> {
    return (await this.listByUser(userId)).length
  }

  async count(): Promise<number> {
    let count = 0
    for await (const _ of this.scan()) count++
    return count
  }

  async *scan(): AsyncGenerator<StoredSession, void, undefined> {
    for await (const page of this.#pages()) {
      const untils = await Promise.all(page.map(([id]) => this.#limit(() => this.#one.endedUntil(id))))
      for (const [index, [id, slot]] of page.entries()) {
        const now = this.#now()
        if ((untils[index] ?? 0) > now || slot.kind === 'moved') continue
        if (slot.kind === 'unreadable') yield this.#placeholder(id, null, now, now)
        else if (slot.row.expiresAt > now) yield { ...slot.row, id, now }
      }
    }
  }

  async prune(signal?: AbortSignal): Promise<number> {
    let pruned = 0
    if (this.guarantees.listing) {
      for await (const [key, text] of this.#list('')) {
        if (signal?.aborted) return pruned
        if (await this.#pruneEntry(key, text)) pruned++
      }
    }
    await this.#limit(() => this.#entries.clearExpired())
    return pruned
  }

  // The same store as Keyv sees it, by session id; see keyv-view.ts.

  get capabilities(): KeyvStorageCapability {
    return keyvStorageCapability(this)
  }
  get<Value>(key: string): Promise<KeyvStorageGetResult<Value>> {
    return this.#view.get(key) as Promise<KeyvStorageGetResult<Value>> // Keyv lets the caller name the type
  }
  getMany<Value>(keys: string[]): Promise<Array<KeyvStorageGetResult<Value | undefined>>> {
    return this.#view.getMany(keys) as Promise<Array<KeyvStorageGetResult<Value | undefined>>> // as in get
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
  iterator<Value>(): ReturnType<NonNullable<KeyvStorageAdapter['iterator']>> &
    AsyncGenerator<[string, Awaited<Value>]> {
    return this.#view.iterator() as AsyncGenerator<[string, never], void, unknown> // as in get
  }

  get #policy(): StoragePolicy {
    return this.#requireConfigured().policy
  }
  get #one(): SessionEntries {
    return this.#requireConfigured().one
  }
  get #keys(): EntryKeys {
    return this.#one.keys
  }
  get #users(): UserIndex {
    return this.#one.users
  }

  #requireConfigured() {
    if (this.#configured) return this.#configured
    throw new ConfigurationError('Wrap the Keyv in a DefaultSessionService before its sessions are used.')
  }

  #limit<R>(operation: () => Promise<R>): Promise<R> {
    if (this.#closed) return Promise.reject(new ClosedError('The session store is closed.'))
    return this.#deadline.limit(operation)
  }

  /** One operation on a session at a time; one whose caller has given up before its turn came is not run. */
  #inTurn<R>(id: SessionId, operation: () => Promise<R>): Promise<R> {
    if (this.#closed) return Promise.reject(new ClosedError('The session store is closed.'))
    return this.#deadline.limit((givenUp) =>
      inTurn(id, () => {
        if (givenUp()) throw new BackendUnavailableError('The caller waited no longer.')
        return operation()
      })
    )
  }

  async #replace(id: SessionId, sight: Sight, entry: SessionEntry): Promise<SessionTimes | undefined> {
    const old = 'row' in sight ? sight.row : undefined
    const row = this.#one.changed(sight.state === 'live' ? old : undefined, entry, sight.now)
    const times = await this.#one.write(id, row, sight.now)
    if (old && old.userId !== null && old.userId !== row.userId) await this.#users.remove(old.userId, id)
    return times
  }

  async #end(id: SessionId, sight: Sight): Promise<void> {
    await this.#one.leaveTombstone(id, sight.now)
    // Another process may have been rotating it; it will not see the tombstone if it had got this far.
    const movedTo = await this.#one.movedTo(id)
    if (movedTo) await this.#endFollowing(movedTo, {})
    else await this.#one.discard(id, 'row' in sight ? sight.row.userId : null)
  }

  /** Ends the session, or what it was rotated into. An unreadable one is whose the index says it is. */
  async #endFollowing(
    id: SessionId,
    only: { readonly userId?: string | undefined; readonly except?: SessionId | undefined }
  ): Promise<boolean> {
    let current = id
    while (current !== only.except) {
      const next = await this.#inTurn(current, async () => {
        const sight = await this.#one.look(current)
        if (sight.state === 'ended') return sight.movedTo
        if (sight.state === 'missing' || sight.state === 'expired') return undefined
        if (only.userId !== undefined) {
          const isTheirs =
            sight.state === 'live'
              ? sight.row.userId === only.userId
              : (await this.#users.members(only.userId)).has(current)
          if (!isTheirs) return undefined
        }
        await this.#end(current, sight)
        return true
      })
      if (next === true) return true
      if (next === undefined) return false
      current = next
    }
    return false
  }

  /** True if an expired session was removed. What is listed is a moment old, so each is looked at again in its turn. */
  async #pruneEntry(key: string, text: EntryText): Promise<boolean> {
    const { sessions, ended, users } = this.#keys
    const now = this.#now()
    if (key.startsWith(users)) {
      await this.#limit(() => this.#users.prune(key))
      return false
    }
    const isSession = key.startsWith(sessions)
    const id = asSessionId(key.slice((isSession ? sessions : ended).length))
    if (id === undefined || !(isSession || key.startsWith(ended))) return false
    const slot = isSession ? parseSession(text, this.#policy.absoluteTimeoutMs) : undefined
    const isOver = slot
      ? slot.kind === 'row'
        ? slot.row.expiresAt <= now
        : slot.kind === 'moved' && slot.until <= now
      : parseEnded(text) <= now
    return isOver && this.#inTurn(id, () => this.#one.prune(id, key))
  }

  async *#list(prefix: string): AsyncGenerator<[key: string, text: EntryText], void, undefined> {
    if (this.#closed) throw new ClosedError('The session store is closed.')
    yield* this.#entries.list(prefix)
  }

  async *#pages(): AsyncGenerator<Array<[SessionId, SessionSlot]>, void, undefined> {
    let page: Array<[SessionId, SessionSlot]> = []
    for await (const [key, text] of this.#list(this.#keys.sessions)) {
      const id = asSessionId(key.slice(this.#keys.sessions.length))
      if (id === undefined) continue
      page.push([id, parseSession(text, this.#policy.absoluteTimeoutMs)])
      if (page.length < PAGE_SIZE) continue
      yield page
      page = []
    }
    if (page.length > 0) yield page
  }

  /** A session whose entry cannot be read, as lists show it: nothing but the id is known. */
  #placeholder(id: SessionId, userId: string | null, createdAt: number, now: number): StoredSession {
    const expiresAt = createdAt + this.#policy.absoluteTimeoutMs
    return {
      id,
      userId,
      createdAt,
      lastActiveAt: createdAt,
      expiresAt,
      idleTimeoutMs: null,
      version: 0,
      value: '',
      now
    }
  }
}

function unreadable(id: SessionId): DataError {
  return new DataError(
    `The entry of session ${id} cannot be read: another serialiser or encryption key, or damage.`
  )
}
