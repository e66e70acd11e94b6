import type pg from 'pg'
import { beforeEach, expect, test } from 'vitest'
import { DefaultSessionService } from '../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts'
import { entry, HOUR, openStorage, operator, sessionId, until } from './storage-fixture.ts'

let database: TestDatabase

beforeEach(async (context) => {
  const fresh = await createTestDatabase()
  database = fresh
  context.onTestFinished(() => fresh.drop()) // the first to be registered is the last to run
})

/** Lets time pass: all stored times move back. */
async function age(client: pg.Client, ms: number): Promise<void> {
  await client.query(
    `update bodhi_sessions set
      created_at = created_at - $1::bigint, last_active_at = last_active_at - $1::bigint, expires = expires - $1::bigint,
      expires_bucket = expires_bucket - ($1::bigint / 60000)::integer - 1`,
    [ms]
  )
}

async function countRows(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ n: number }>('select count(*)::int as n from bodhi_sessions')
  return rows[0]?.n ?? 0
}

test('touches stay at least 98 % HOT', async () => {
  const storage = await openStorage(database.url)
  const client = await operator(database.url)
  const data = { text: 'x'.repeat(900) }
  const ids = Array.from({ length: 8_000 }, (_, i) => sessionId(i))
  await Promise.all(ids.map((id, i) => storage.insert(id, entry(data, `user ${i % 1_000}`))))
  await client.query('vacuum analyze bodhi_sessions')
  const statistics = async () => {
    const { rows } = await client.query<{ updates: number; hot: number }>(
      `select n_tup_upd::int as updates, n_tup_hot_upd::int as hot from pg_stat_user_tables where relname = 'bodhi_sessions'`
    )
    return rows[0] ?? { updates: 0, hot: 0 }
  }
  await client.query('select pg_stat_reset()')
  const touches = 25_000
  // Spread over the table: where a large part of a page is touched at one moment, its old versions cannot be removed yet.
  for (let i = 0; i < touches; i += 100) {
    await Promise.all(
      Array.from({ length: 100 }, (_, j) => storage.touch(ids[(i + j * 79) % ids.length] ?? sessionId(0)))
    )
  }
  await storage.disconnect() // connections report their statistics at their end
  await until(async () => (await statistics()).updates >= touches * 0.98) // some share an answer
  const { updates, hot } = await statistics()
  expect(hot / updates).toBeGreaterThanOrEqual(0.98)
})

test('expired sessions and tombstones go, live sessions stay; only sessions are counted', async () => {
  const storage = await openStorage(database.url)
  const client = await operator(database.url)
  for (let i = 0; i < 2_500; i += 500) {
    await Promise.all(Array.from({ length: 500 }, (_, j) => storage.insert(sessionId(i + j), entry())))
  }
  await storage.end(sessionId(0))
  await age(client, 23 * HOUR)
  for (let i = 1; i <= 10; i++) await storage.touch(sessionId(i))
  await age(client, 2 * HOUR)
  expect(await storage.count()).toBe(10)
  expect(await storage.prune()).toBe(2_489)
  expect(await countRows(client)).toBe(10)
  expect(await storage.prune()).toBe(0)
})

test('a service that is closed does not prune to the end, and the next one goes on', async () => {
  const connect = () => DefaultSessionService.connect(database.url, { pruneIntervalMs: 0 })
  const closing = await connect()
  const sessions = 2_000
  await Promise.all(Array.from({ length: sessions }, (_, n) => closing.create({ n })))
  const client = await operator(database.url)
  await age(client, 60 * 24 * HOUR)
  const pruning = closing.pruneExpired()
  await until(async () => (await countRows(client)) < sessions)
  await closing.close()
  const first = await pruning
  expect(first).toBeLessThan(sessions)
  await using next = await connect()
  expect(first + (await next.pruneExpired())).toBe(sessions)
})

test('a session in use is found again when it has expired in the end', async () => {
  const storage = await openStorage(database.url)
  const client = await operator(database.url)
  await storage.insert(sessionId('a'), entry())
  for (let i = 0; i < 5; i++) {
    await age(client, 20 * HOUR)
    expect(await storage.touch(sessionId('a'))).toBeDefined()
    expect(await storage.prune()).toBe(0)
  }
  await age(client, 25 * HOUR)
  expect(await storage.prune()).toBe(1)
  expect(await countRows(client)).toBe(0)
})

test('a session whose expiry comes forward is found too', async () => {
  const storage = await openStorage(database.url)
  const client = await operator(database.url)
  await storage.insert(sessionId('a'), entry())
  await storage.touch(sessionId('a'), HOUR)
  await age(client, 2 * HOUR)
  expect(await storage.prune()).toBe(1)
})

test('a session that is renewed while pruning waits for it survives', async () => {
  const storage = await openStorage(database.url)
  const client = await operator(database.url)
  await storage.insert(sessionId('a'), entry({ precious: true }))
  await age(client, 25 * HOUR)
  const renewer = await operator(database.url)
  await renewer.query('begin')
  await renewer.query(`update bodhi_sessions set expires = expires + ${48 * HOUR}`)
  expect(await storage.prune()).toBe(0) // it is locked: skipped, not waited for
  await renewer.query('commit')
  expect(await storage.prune()).toBe(0)
  expect(await storage.read(sessionId('a'))).toBeDefined()
})

test('one node prunes at a time: another finds it taken, and removes nothing', async () => {
  const one = await openStorage(database.url)
  const two = await openStorage(database.url)
  const client = await operator(database.url)
  for (let i = 0; i < 5_000; i += 500) {
    await Promise.all(Array.from({ length: 500 }, (_, j) => one.insert(sessionId(i + j), entry())))
  }
  await age(client, 25 * HOUR)
  const removed = await Promise.all([one.prune(), two.prune(), one.prune(), two.prune()])
  const rest = await one.prune()
  expect(removed.reduce((sum, n) => sum + n, rest)).toBe(5_000)
  expect(await countRows(client)).toBe(0)
})

test('pruning beside traffic on the same sessions neither fails nor removes what is live', async () => {
  const storage = await openStorage(database.url)
  const client = await operator(database.url)
  const ids = Array.from({ length: 1_000 }, (_, i) => sessionId(i))
  await Promise.all(ids.map((id) => storage.insert(id, entry())))
  await age(client, 25 * HOUR)
  const alive = ids.slice(0, 500)
  const [, ...outcomes] = await Promise.all([
    storage.prune(),
    ...alive.map((id) => storage.put(id, entry({ new: true }), 'insert'))
  ])
  expect(outcomes.every(({ outcome }) => outcome === 'stored')).toBe(true)
  await storage.prune()
  expect(await storage.count()).toBe(500)
  expect(await countRows(client)).toBe(500)
})

test('namespaces in one table prune, count and end only their own', async () => {
  const shop = await openStorage(database.url, {}, { namespace: 'shop' })
  const admin = await openStorage(database.url, {}, { namespace: 'admin' })
  const client = await operator(database.url)
  await shop.insert(sessionId('a'), entry({}, 'alice'))
  await admin.insert(sessionId('a'), entry({}, 'alice'))
  expect(await shop.endByUser('alice')).toBe(1)
  expect(await admin.countByUser('alice')).toBe(1)
  expect(await shop.endAll()).toBe(0)
  await age(client, 25 * HOUR)
  expect(await shop.prune()).toBe(0) // its tombstone
  expect(await countRows(client)).toBe(1)
  expect(await admin.prune()).toBe(1)
})
