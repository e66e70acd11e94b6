import type { KeyvStorageEntry } from 'keyv'
import { asSessionId } from '../core/token.ts'
import type { SessionStorage, StoragePolicy, StoredSession } from './backend.ts'

/** What Keyv hands to a store and expects back while its serialiser is off: the data itself, in an envelope. */
interface KeyvEnvelope {
  readonly value: unknown
  /** Milliseconds on this machine's clock. */
  readonly expires?: number
}

/** Keyv's own storage methods, in terms of sessions. */
export interface KeyvView {
  get(key: string): Promise<KeyvEnvelope | undefined>
  getMany(keys: string[]): Promise<Array<KeyvEnvelope | undefined>>
  set(key: string, envelope: unknown, expires?: number): Promise<boolean>
  setMany(entries: ReadonlyArray<KeyvStorageEntry<unknown>>): Promise<boolean[]>
  delete(key: string): Promise<boolean>
  deleteMany(keys: string[]): Promise<boolean[]>
  has(key: string): Promise<boolean>
  hasMany(keys: string[]): Promise<boolean[]>
  clear(): Promise<void>
  clearExpired(): Promise<void>
  iterator(): AsyncGenerator<[string, KeyvEnvelope], void, unknown>
}

/**
 * A session store seen as a plain Keyv adapter: keys are session ids (anything else is a key without a value), a `set`
 * goes through the same checks, index and tombstones as a save, and failures throw (Keyv's core decides what becomes of
 * them). Keyv computes absolute times with this machine's clock, which may differ from the store's: each is turned into a
 * duration, or made from one, at once, so that Keyv's own expiry check never removes a session that the store calls live.
 */
export function keyvView(storage: SessionStorage, policy: () => StoragePolicy): KeyvView {
  const envelopeOf = (row: StoredSession): KeyvEnvelope => ({
    value: policy().decode(row.value),
    expires: Date.now() + (row.expiresAt - row.now)
  })

  const view: KeyvView = {
    async get(key) {
      const id = asSessionId(key)
      const row = id && (await storage.read(id))
      return row && envelopeOf(row)
    },

    async set(key, envelope, expires) {
      const id = asSessionId(key)
      if (!id) return false
      const data = isEnvelope(envelope) ? envelope.value : envelope
      policy().changedThroughKeyv(id)
      const idleTimeoutMs = expires === undefined ? null : Math.ceil(expires - Date.now())
      if (idleTimeoutMs !== null && idleTimeoutMs <= 0) {
        await storage.end(id)
        return true
      }
      const { outcome } = await storage.put(id, { ...policy().encode(data), idleTimeoutMs }, 'insert')
      return outcome === 'stored'
    },

    async delete(key) {
      const id = asSessionId(key)
      if (id === undefined) return false
      policy().changedThroughKeyv(id)
      return storage.end(id)
    },

    async has(key) {
      const id = asSessionId(key)
      return id !== undefined && (await storage.read(id)) !== undefined
    },

    async clear() {
      policy().changedThroughKeyv(null)
      await storage.endAll()
    },

    async clearExpired() {
      await storage.prune()
    },

    getMany: (keys) => Promise.all(keys.map(view.get)),
    setMany: (entries) =>
      Promise.all(entries.map((entry) => view.set(entry.key, entry.value, entry.expires))),
    deleteMany: (keys) => Promise.all(keys.map(view.delete)),
    hasMany: (keys) => Promise.all(keys.map(view.has)),

    async *iterator() {
      for await (const row of storage.scan()) yield [row.id, envelopeOf(row)]
    }
  }
  return view
}

function isEnvelope(value: unknown): value is KeyvEnvelope {
  return typeof value === 'object' && value !== null && 'value' in value
}
