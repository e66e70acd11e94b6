import pg from 'pg'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { BackendError, BackendUnavailableError, SchemaError } from '../../../src/core/errors.ts'
import { createTestDatabase, startPostgres, type TestDatabase } from '../../support/postgres.ts'
import { entry, newStorage, openStorage, operator, sessionId } from './storage-fixture.ts'

let database: TestDatabase

beforeEach(async (context) => {
  const fresh = await createTestDatabase()
  database = fresh
  context.onTestFinished(() => fresh.drop()) // the first to be registered is the last to run
})

test('24 instances that start at once on an empty database all work', async () => {
  const stores = Array.from({ length: 24 }, () => newStorage(database.url, { maxConnections: 2 }))
  await Promise.all(stores.map((store) => store.ready()))
  const written = await Promise.all(stores.map((store, i) => store.insert(sessionId(i), entry())))
  expect(written.every((times) => times !== undefined)).toBe(true)
  const client = await operator(database.url)
  const { rows } = await client.query('select version from bodhi_sessions_migrations')
  expect(rows).toEqual([{ version: 1 }])
})

test('instances with different tables may create the schema that they share at the same time', async () => {
  const stores = Array.from({ length: 8 }, (_, i) =>
    newStorage(database.url, { schema: 'Web Apps', table: `sessions_${i}` })
  )
  await Promise.all(stores.map((store) => store.ready()))
  await Promise.all(stores.map((store) => store.insert(sessionId('a'), entry())))
})

test('an instance that finds the schema current starts beside a transaction that reads the table, and stalls nobody', async () => {
  const first = await openStorage(database.url)
  await first.insert(sessionId('a'), entry())
  const reader = await operator(database.url)
  await reader.query('begin; select * from bodhi_sessions; select * from bodhi_sessions_migrations')
  const second = await openStorage(database.url, { lockTimeoutMs: 500 })
  expect(await second.read(sessionId('a'))).toBeDefined()
  expect(await first.touch(sessionId('a'))).toBeDefined()
  const locks = await reader.query(
    "select mode from pg_locks where relation = 'bodhi_sessions'::regclass and mode like '%Exclusive%' and mode <> 'RowExclusiveLock'"
  )
  expect(locks.rows).toEqual([])
  await reader.query('commit')
})

test('an instance that finds the schema current starts without any right to change it', async () => {
  const owner = await openStorage(database.url)
  await owner.insert(sessionId('a'), entry())
  const url = await newRole()
  const client = await operator(database.url)
  const role = new URL(url).username
  await client.query(`
    grant select, insert, update, delete on bodhi_sessions to ${role};
    grant select on bodhi_sessions_migrations to ${role}`)
  const storage = await openStorage(url)
  expect(await storage.read(sessionId('a'))).toBeDefined()
})

test('missing rights are said by their name', async () => {
  const storage = newStorage(await newRole(), { schema: 'of_its_own' })
  const failure = await storage.ready().catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(BackendError)
  expect(String(failure)).toContain('42501')
  expect(String(failure)).not.toContain('secret')
})

test('a table of that name which is not ours is left alone', async () => {
  const client = await operator(database.url)
  await client.query('create table bodhi_sessions (sid text primary key)')
  const failure = await newStorage(database.url)
    .ready()
    .catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(SchemaError)
  expect(String(failure)).toContain('postgres.table')
  const columns = await client.query(
    "select column_name from information_schema.columns where table_name = 'bodhi_sessions'"
  )
  expect(columns.rows).toEqual([{ column_name: 'sid' }])
})

test('a newer schema that still works with this library is used as it is', async () => {
  await (await openStorage(database.url)).disconnect()
  const client = await operator(database.url)
  await client.query('alter table bodhi_sessions add column added_by_a_newer_library text')
  await client.query('insert into bodhi_sessions_migrations (version, oldest_compatible) values (2, 1)')
  const storage = await openStorage(database.url)
  expect(await storage.insert(sessionId('a'), entry())).toBeDefined()
})

test('a newer schema that says this library is too old is refused', async () => {
  await (await openStorage(database.url)).disconnect()
  const client = await operator(database.url)
  await client.query('insert into bodhi_sessions_migrations (version, oldest_compatible) values (7, 5)')
  const failure = await newStorage(database.url)
    .ready()
    .catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(SchemaError)
  expect(String(failure)).toMatch(/version 7.*version 5 or later.*Upgrade/)
})

test('with migrate: false a missing schema is refused with the cure, and a present one is used', async () => {
  const failure = await newStorage(database.url, { migrate: false })
    .ready()
    .catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(SchemaError)
  expect(String(failure)).toContain('bodhi-session migrate')
  await openStorage(database.url)
  await openStorage(database.url, { migrate: false })
})

test('a table that was dropped under its version table is missed by name', async () => {
  const storage = await openStorage(database.url)
  const client = await operator(database.url)
  await client.query('drop table bodhi_sessions')
  await expect(storage.read(sessionId('a'))).rejects.toBeInstanceOf(SchemaError)
  await expect(newStorage(database.url).ready()).rejects.toThrow(/is missing/)
})

test('a store that was down at the start works once it is up, and tried again', async () => {
  await using server = await startPostgres()
  await server.stop()
  const storage = newStorage(server.url)
  await expect(storage.ready()).rejects.toBeInstanceOf(BackendUnavailableError)
  await expect(storage.read(sessionId('a'))).rejects.toBeInstanceOf(BackendUnavailableError)
  await server.start()
  await storage.ready()
  expect(await storage.read(sessionId('a'))).toBeUndefined()
  await storage.disconnect()
})

test('another schema and table are used as configured, and their case is kept', async () => {
  const storage = await openStorage(database.url, { schema: 'Auth', table: 'WebSessions' })
  await storage.insert(sessionId('a'), entry())
  const client = await operator(database.url)
  const { rows } = await client.query('select count(*)::int as n from "Auth"."WebSessions"')
  expect(rows).toEqual([{ n: 1 }])
})

test('the table has a primary key, and the expiry stands in no index', async () => {
  await openStorage(database.url)
  const client = await operator(database.url)
  const { rows } = await client.query<{ indexdef: string }>(
    "select indexdef from pg_indexes where tablename = 'bodhi_sessions' order by 1"
  )
  const columns = rows.map(({ indexdef }) => indexdef.replace(/^.* USING /, ''))
  expect(columns.sort()).toEqual([
    'btree (expires_bucket, namespace)',
    'btree (key, namespace)',
    'btree (user_id, namespace) WHERE (user_id IS NOT NULL)'
  ])
})

/** The URL of a role that may connect, and nothing else. */
async function newRole(): Promise<string> {
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  const name = `role_${new URL(database.url).pathname.slice(1)}`
  await client.query(`create role ${name} login password 'secret'`)
  onTestFinished(async () => {
    await client.query(`drop owned by ${name}; drop role ${name}`)
    await client.end()
  })
  const url = new URL(database.url)
  url.username = name
  url.password = 'secret'
  return url.href
}
