import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { KeyvSqlite } from '@keyv/sqlite'
import { expect, test } from 'vitest'
import { SqliteSessionStorage } from '../../../src/backends/sqlite/adapter.ts'
import { createFolder, createStore, entryOf, idOf } from './fixtures.ts'

/** What is inherited on purpose: names, numbers and switches that do nothing here, and events. */
const INHERITED = new Set([
  'constructor',
  'capabilities',
  'uri',
  'table',
  'keySize',
  'keyLength',
  'namespaceLength',
  'db',
  'iterationLimit',
  'wal',
  'busyTimeout',
  'driver',
  'driverName',
  'clearExpiredInterval',
  'opts',
  // TypeScript-private; reached only from methods that ours replace, or harmless.
  'getCleanTableName',
  'createConnection',
  'removeKeyPrefix',
  'getNamespaceValue',
  'startClearExpiredTimer',
  'stopClearExpiredTimer',
  'setOptions'
])

test('every method of KeyvSqlite is either overridden or known to be harmless', () => {
  const own = new Set(Object.getOwnPropertyNames(SqliteSessionStorage.prototype))
  const unknown = Object.getOwnPropertyNames(KeyvSqlite.prototype).filter(
    (name) => !own.has(name) && !INHERITED.has(name)
  )
  expect(
    unknown,
    '@keyv/sqlite has methods that this library does not know: they would run on no connection. Override them in ' +
      'src/backends/sqlite/adapter.ts, or list them here if they are harmless.'
  ).toEqual([])
})

test("KeyvSqlite's constructor still touches nothing when its driver never connects", async () => {
  const folder = await createFolder()
  const store = createStore({ path: join(folder, 'sessions.sqlite') })
  await new Promise(setImmediate)
  expect(
    await readdir(folder),
    '@keyv/sqlite opens the database without its driver: see src/backends/sqlite/upstream.ts.'
  ).toEqual([])
  await store.insert(idOf('a'), entryOf())
  const objects = await store.query(
    "select name from sqlite_schema where name not like 'sqlite_%' order by name"
  )
  expect(
    objects,
    '@keyv/sqlite creates tables or indexes in our database: see src/backends/sqlite/upstream.ts.'
  ).toEqual(
    ['bodhi_session_schema', 'bodhi_sessions', 'bodhi_sessions_by_prune_at', 'bodhi_sessions_by_user'].map(
      (name) => ({ name })
    )
  )
})

test('the store is a KeyvSqlite, whose own seams lead to our connection', async () => {
  const store = createStore()
  expect(store).toBeInstanceOf(KeyvSqlite)
  expect(store.ready, 'ready is a promise of @keyv/sqlite again, not our method.').toBeTypeOf('function')
  expect(store.capabilities.expires, '@keyv/sqlite no longer declares Keyv 6 expiry.').toBe(true)
  await store.insert(idOf('a'), entryOf())
  expect(await store.query('select count(*) as n from bodhi_sessions')).toEqual([{ n: 1 }])
  await store.close()
  await expect(store.read(idOf('a'))).rejects.toMatchObject({ code: 'SESSION_CLOSED' })
})
