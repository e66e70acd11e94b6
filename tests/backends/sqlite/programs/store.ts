import { SqliteSessionStorage } from '../../../../src/backends/sqlite/adapter.ts'
import { decodeData } from '../../../../src/core/data.ts'
import type { SessionId } from '../../../../src/core/session.ts'
import { sessionIdOf } from '../../../../src/core/token.ts'

/** The store of a program: what the fixtures of the tests make, without their test runner. */
export function openStore(path: string, durability: 'normal' | 'full' = 'normal'): SqliteSessionStorage {
  const store = new SqliteSessionStorage({ path, table: 'bodhi_sessions', busyTimeoutMs: 30_000, durability })
  store.configure({
    namespace: 'sessions',
    idleTimeoutMs: 86_400_000,
    absoluteTimeoutMs: 30 * 86_400_000,
    tombstoneMs: 86_400_000,
    encode: (data) => ({ value: JSON.stringify(data), userId: null }),
    decode: decodeData,
    changedThroughKeyv: () => {}
  })
  return store
}

export function idOf(name: string): SessionId {
  const id = sessionIdOf(name)
  if (id === undefined) throw new Error(`No session id comes from ${name}`)
  return id
}
