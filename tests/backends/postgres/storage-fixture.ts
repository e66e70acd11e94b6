import { createHash } from 'node:crypto'
import pg from 'pg'
import { onTestFinished } from 'vitest'
import type { SessionEntry, StoragePolicy } from '../../../src/backends/backend.ts'
import {
  PostgresSessionStorage,
  type PostgresStorageOptions
} from '../../../src/backends/postgres/adapter.ts'
import type { PoolOptions } from '../../../src/backends/postgres/pool.ts'
import type { SessionId } from '../../../src/core/session.ts'

export const HOUR = 3_600_000

export const POOL_OPTIONS: Omit<PoolOptions, 'url'> = {
  maxConnections: 6,
  maxQueued: 10_000,
  connectTimeoutMs: 5_000,
  statementTimeoutMs: 10_000,
  lockTimeoutMs: 2_000,
  preparedStatements: true,
  ssl: undefined,
  password: undefined,
  applicationName: 'bodhi-session'
}

const OPTIONS: Omit<PostgresStorageOptions, 'url'> = {
  ...POOL_OPTIONS,
  schema: 'public',
  table: 'bodhi_sessions',
  migrate: true
}

const POLICY: StoragePolicy = {
  namespace: 'sessions',
  idleTimeoutMs: 24 * HOUR,
  absoluteTimeoutMs: 30 * 24 * HOUR,
  tombstoneMs: 24 * HOUR,
  changedThroughKeyv: () => {},
  encode: (data) => ({ value: JSON.stringify(data), userId: null }),
  decode: (value) => JSON.parse(value) as object
}

/** A store as a service would have it; closed when the test is over. Not connected yet. */
export function newStorage(
  url: string,
  options: Partial<PostgresStorageOptions> = {},
  policy: Partial<StoragePolicy> = {}
): PostgresSessionStorage {
  const storage = new PostgresSessionStorage({ ...OPTIONS, url, ...options })
  storage.configure({ ...POLICY, ...policy })
  onTestFinished(() => storage.disconnect())
  return storage
}

export async function openStorage(...args: Parameters<typeof newStorage>): Promise<PostgresSessionStorage> {
  const storage = newStorage(...args)
  await storage.ready()
  return storage
}

export function sessionId(name: string | number): SessionId {
  return createHash('sha256').update(String(name)).digest('base64url') as SessionId // as a token's would be
}

export function entry(data: object = {}, userId: string | null = null): SessionEntry {
  return { value: JSON.stringify(data), userId }
}

/** A connection of the test's own, to do what an operator might; closed when the test is over. */
export async function operator(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {}) // tests stop the server under it
  await client.connect()
  onTestFinished(() => client.end())
  return client
}

/** Resolves when the condition holds; for effects in the server that nothing announces. */
export async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10))
}
