import { type Keyv, KeyvBridgeAdapter, type KeyvStorageAdapter } from 'keyv'
import { BackendError, BackendUnavailableError, ConfigurationError } from '../../core/errors.ts'
import type { Deadline } from './deadline.ts'

/** An entry that is there, and cannot be decoded: another key or serialiser, or damage. */
export const UNREADABLE: unique symbol = Symbol('unreadable')

export type EntryText = string | typeof UNREADABLE

/**
 * How much longer than asked the store keeps an entry. Expiry is decided by the times inside; the store's own removal
 * only tidies up, and must not come early where its clock is ahead of ours.
 */
const STORE_GRACE_MS = 3_600_000

/**
 * Adapters whose server removes what has expired, by the names of their classes. A wrong guess costs no more than an
 * unneeded scan, or an entry that stays until somebody calls `pruneExpired`.
 */
const SELF_EXPIRING = /^Keyv(Redis|Valkey|Mongo|Memcache|Dynamo)$/

/**
 * Texts by key in a Keyv's store. It goes through the Keyv's own `encode` and `decode` (serialiser, compression,
 * encryption), but calls the storage adapter itself, because Keyv's `get` answers `undefined` for a store that is
 * down. Of the adapter it uses `get`, `set`, `delete` and `iterator` only: in several official adapters `getMany` and
 * `has` answer "not there" when they fail.
 */
export class EntryStore {
  readonly #keyv: Keyv
  readonly #store: KeyvStorageAdapter
  readonly #deadline: Deadline
  #failures = 0
  #lastFailure: unknown

  constructor(keyv: Keyv, deadline: Deadline) {
    this.#keyv = keyv
    this.#store = keyv.store
    this.#deadline = deadline
    // Adapters report a lost connection as an event; without a listener Keyv throws it, outside of any call, and that
    // ends the process. Whoever is waiting for an answer hears of it from that.
    keyv.on('error', () => {})
    // An adapter that answers "not there" for a failure emits the failure first, while it is being asked.
    this.#store.on?.('error', (error: unknown) => {
      this.#failures++
      this.#lastFailure = error
    })
  }

  /** Whether the server removes expired entries without being asked to. */
  get expiresByItself(): boolean {
    return SELF_EXPIRING.test(innermost(this.#store).constructor.name)
  }

  /** Whether the entries can be listed. A wrapper's iterator lists nothing at all where the wrapped store cannot. */
  get canList(): boolean {
    const inner = innermost(this.#store)
    if (typeof Reflect.get(inner, 'iterator') === 'function') return true
    return (
      inner !== this.#store &&
      !(this.#store instanceof KeyvBridgeAdapter) &&
      typeof Reflect.get(inner, 'entries') === 'function'
    )
  }

  async get(key: string): Promise<EntryText | undefined> {
    return this.#textOf(await this.#ask(() => this.#store.get(key)))
  }

  /** @param ttlMs Milliseconds until the store may drop the entry. */
  async set(key: string, text: string, ttlMs: number): Promise<void> {
    const expires = Math.ceil(Date.now() + Math.max(ttlMs, 0) + STORE_GRACE_MS)
    let encoded: unknown
    try {
      encoded = await this.#keyv.encode({ value: text, expires })
    } catch (cause) {
      throw new BackendError('The Keyv could not encode an entry: see its serialization and encryption.', {
        cause
      })
    }
    const stored = await this.#ask(() => this.#store.set(key, encoded, expires))
    if (stored === false)
      throw new BackendUnavailableError('The Keyv store refused a write without saying why.')
  }

  async delete(key: string): Promise<void> {
    await this.#ask(() => this.#store.delete(key))
  }

  /**
   * All entries whose keys begin with the prefix, as the store lists them.
   * @throws ConfigurationError where the store has no iterator.
   */
  async *list(prefix: string): AsyncGenerator<[key: string, text: EntryText], void, undefined> {
    if (!this.canList || this.#store.iterator === undefined) {
      throw new ConfigurationError(
        'This Keyv store cannot list its entries (its adapter has no iterator), so sessions cannot be counted, dumped, ' +
          'pruned or cleared as a whole. What concerns one session or one user works. Use an adapter with an iterator.'
      )
    }
    const before = this.#failures
    const iterator = this.#store.iterator<unknown>()
    try {
      for (;;) {
        const step = await this.#deadline.limit(() => this.#ask(() => iterator.next()))
        if (step.done) break
        const [key, raw] = step.value
        if (typeof key !== 'string' || !key.startsWith(prefix)) continue
        const text = await this.#textOf(raw)
        if (text !== undefined) yield [key, text]
      }
    } finally {
      // Not awaited: it would wait for a step that never ends.
      iterator.return(undefined).catch(() => {})
    }
    // Some adapters end their list where they fail.
    if (this.#failures !== before) throw unavailable(this.#lastFailure)
  }

  /** Removes what has expired by the store's own reckoning, where the adapter has a way to. */
  async clearExpired(): Promise<void> {
    const clearExpired: unknown = Reflect.get(this.#store, 'clearExpired')
    if (typeof clearExpired === 'function') await this.#ask(async () => clearExpired.call(this.#store))
  }

  /** Closes the connection at once: nothing is under way any more. Asked politely, @keyv/redis waits for a lost server. */
  async disconnect(): Promise<void> {
    const inner = innermost(this.#store)
    const disconnect: unknown = Reflect.get(inner, 'disconnect')
    if (typeof disconnect === 'function') await this.#ask(async () => disconnect.call(inner, true))
  }

  async #ask<A>(question: () => Promise<A>): Promise<A> {
    const before = this.#failures
    let answer: A
    try {
      answer = await question()
    } catch (error) {
      throw unavailable(error)
    }
    const isNothing = answer === undefined || answer === null || answer === false
    if (isNothing && this.#failures !== before) throw unavailable(this.#lastFailure)
    return answer
  }

  async #textOf(raw: unknown): Promise<EntryText | undefined> {
    if (raw === undefined || raw === null) return undefined
    const envelope: unknown = typeof raw === 'string' ? await this.#keyv.decode(raw) : raw
    if (typeof envelope !== 'object' || envelope === null || !('value' in envelope)) return UNREADABLE
    // @keyv/memcache answers an envelope without a value for a key that is not there.
    if (envelope.value === undefined) return undefined
    return typeof envelope.value === 'string' ? envelope.value : UNREADABLE
  }
}

/** What a foreign adapter throws tells nothing in common: all of it counts as an outage, never as an answer. */
function unavailable(cause: unknown): BackendUnavailableError {
  return new BackendUnavailableError(
    'The Keyv store did not answer. Its own error is the cause of this one.',
    { cause }
  )
}

/** Keyv wraps older adapters and Maps in adapters of its own, which have the wrapped one as `store`. */
function innermost(store: object): object {
  const inner: unknown = Reflect.get(store, 'store')
  return typeof inner === 'object' && inner !== null ? inner : store
}
