import { beforeEach, expect, test } from 'vitest'
import type { PostgresSessionStorage } from '../../../src/backends/postgres/adapter.ts'
import type { SessionId } from '../../../src/core/session.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts'
import { entry, openStorage, operator, sessionId, until } from './storage-fixture.ts'

let database: TestDatabase

beforeEach(async (context) => {
  const fresh = await createTestDatabase()
  database = fresh
  context.onTestFinished(() => fresh.drop()) // the first to be registered is the last to run
})

const ROUNDS = 150
const SESSIONS = 8

/** Rotates a session until there is none any more; resolves to the last id that it had. */
async function rotateUntilEnded(storage: PostgresSessionStorage, first: SessionId): Promise<SessionId> {
  let id = first
  for (let i = 1; ; i++) {
    const next = sessionId(`${first} ${i}`)
    if ((await storage.rotate(id, next)) === undefined) return id
    id = next
  }
}

/** Rotates sessions through one store while `end` ends them through another, round after round; none may survive. */
async function raceRotation(
  end: (storage: PostgresSessionStorage, ids: readonly SessionId[]) => Promise<unknown>
): Promise<void> {
  const rotating = await openStorage(database.url)
  const ending = await openStorage(database.url)
  for (let round = 0; round < ROUNDS; round++) {
    const ids = Array.from({ length: SESSIONS }, (_, i) => sessionId(`${round} ${i}`))
    await Promise.all(ids.map((id) => rotating.insert(id, entry({ round }, 'alice'))))
    const rotations = ids.map((id) => rotateUntilEnded(rotating, id))
    // Another point of the rotations each time.
    for (let i = 0; i < round % 4; i++) await ending.ping()
    await end(ending, ids)
    expect(await ending.countByUser('alice')).toBe(0)
    expect(await ending.count()).toBe(0)
    await Promise.all(rotations)
  }
}

test('no session slips through endByUser while it is being rotated', () =>
  raceRotation((storage) => storage.endByUser('alice')))

test('no session slips through revoke by an id that it had before', () =>
  raceRotation((storage, ids) => Promise.all(ids.map((id) => storage.revoke(id, 'alice')))))

test('no session slips through endAll while it is being rotated', () =>
  raceRotation((storage) => storage.endAll()))

test('of two rotations at once one wins, and the other finds no session', async () => {
  const stores = [await openStorage(database.url), await openStorage(database.url)]
  for (let round = 0; round < ROUNDS; round++) {
    const id = sessionId(round)
    await stores[0]?.insert(id, entry())
    const results = await Promise.all(stores.map((store, i) => store.rotate(id, sessionId(`${round} ${i}`))))
    expect(results.filter((row) => row !== undefined)).toHaveLength(1)
  }
  expect(await stores[0]?.count()).toBe(ROUNDS)
})

test('a write that waits for a rotation finds the old id ended', async () => {
  const storage = await openStorage(database.url)
  const [id, newId] = [sessionId('a'), sessionId('b')]
  await storage.insert(id, entry({ n: 1 }))
  // The rotation, held open by hand between its statement and its commit.
  const client = await operator(database.url)
  await client.query('begin')
  await client.query('update bodhi_sessions set key = $1 where key = $2', [newId, id])
  await client.query(
    `insert into bodhi_sessions (namespace, key, version, created_at, last_active_at, expires, expires_bucket, successor)
     select namespace, $1, 0, created_at, created_at, expires, expires_bucket, $2 from bodhi_sessions where key = $2`,
    [id, newId]
  )
  const writers = await Promise.all(Array.from({ length: 5 }, () => openStorage(database.url)))
  const calls = Promise.all([
    writers[0]?.put(id, entry({ n: 2 }), 'insert'),
    writers[1]?.put(id, entry({ n: 2 }), 'refuse'),
    writers[2]?.touch(id),
    writers[3]?.replace(id, entry({ n: 2 }), 1),
    writers[4]?.end(id)
  ])
  const watcher = await operator(database.url)
  await until(async () => {
    const { rows } = await watcher.query<{ n: number }>(
      "select count(*)::int as n from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    )
    return rows[0]?.n === 5
  })
  await client.query('commit')
  expect(await calls).toEqual([
    { outcome: 'ended' },
    { outcome: 'ended' },
    undefined,
    { outcome: 'missing' },
    false
  ])
  expect(await storage.read(newId)).toMatchObject({ value: '{"n":1}' })
})

test('a session that is being ended is not brought back by writes that wait for its row', async () => {
  const storage = await openStorage(database.url)
  const other = await openStorage(database.url)
  for (let round = 0; round < ROUNDS; round++) {
    const id = sessionId(round)
    await storage.insert(id, entry({ n: 1 }, 'alice'))
    await Promise.all([
      other.put(id, entry({ n: 2 }, 'alice'), 'insert'),
      storage.end(id),
      other.touch(id),
      other.put(id, entry({ n: 3 }, 'bob'), 'refuse'),
      other.put(id, entry({ n: 4 }), 'insert')
    ])
    expect(await storage.read(id)).toBeUndefined()
    expect(await other.put(id, entry({ n: 5 }), 'insert')).toEqual({ outcome: 'ended' })
  }
})

test('two stores that write the same 64 sessions in batches never deadlock', async () => {
  const stores = [await openStorage(database.url), await openStorage(database.url)]
  const client = await operator(database.url)
  const deadlocks = async () => {
    await client.query('select pg_stat_clear_snapshot()')
    const { rows } = await client.query<{ deadlocks: string }>(
      'select deadlocks from pg_stat_database where datname = current_database()'
    )
    return Number(rows[0]?.deadlocks)
  }
  const before = await deadlocks()
  const ids = Array.from({ length: 64 }, (_, i) => sessionId(i))
  await Promise.all(ids.map((id) => stores[0]?.insert(id, entry())))
  await client.query('analyze bodhi_sessions')
  await Promise.all(
    stores.map(async (store, which) => {
      // Each store goes through them in another order, as long as both are at it.
      const order = which === 0 ? ids : ids.toReversed()
      for (let round = 0; round < 300; round++) {
        await Promise.all(
          order.map((id) =>
            round % 3 > 0 ? store.touch(id) : store.put(id, entry({ which, round }), 'refuse')
          )
        )
      }
    })
  )
  await Promise.all(stores.map((store) => store.disconnect())) // sessions report their statistics at their end
  expect(await deadlocks()).toBe(before)
})

test('one entry that PostgreSQL refuses among 1,000 fails alone', async () => {
  const storage = await openStorage(database.url)
  const results = await Promise.allSettled(
    Array.from({ length: 1_000 }, (_, i) =>
      storage.insert(sessionId(i), i === 617 ? { value: 'a NUL: \0', userId: null } : entry({ i }))
    )
  )
  const failed = results.flatMap((result, i) => (result.status === 'rejected' ? [[i, result.reason]] : []))
  expect(failed).toEqual([[617, expect.objectContaining({ code: 'SESSION_DATA' })]])
  expect(await storage.count()).toBe(999)
})

test('a trigger that refuses one row fails that row alone, and its text shows no data', async () => {
  const storage = await openStorage(database.url)
  const client = await operator(database.url)
  await client.query("alter table bodhi_sessions add constraint no_banned check (user_id <> 'banned')")
  const results = await Promise.allSettled(
    Array.from({ length: 100 }, (_, i) =>
      storage.put(sessionId(i), entry({ secret: 'geheim' }, i === 42 ? 'banned' : 'fine'), 'insert')
    )
  )
  const failed = results.flatMap((result, i) => (result.status === 'rejected' ? [[i, result.reason]] : []))
  expect(failed).toEqual([[42, expect.objectContaining({ code: 'SESSION_BACKEND' })]])
  const error = failed[0]?.[1] as Error
  expect(JSON.stringify(error.cause) + String(error)).not.toContain('geheim')
})

test('calls on one id take effect in the order in which they were made, reads too', async () => {
  const storage = await openStorage(database.url)
  const ids = Array.from({ length: 50 }, (_, i) => sessionId(i))
  const answers = await Promise.all(
    ids.map((id) =>
      Promise.all([
        storage.read(id),
        storage.insert(id, entry({ n: 1 })),
        storage.read(id),
        storage.put(id, entry({ n: 2 }), 'refuse'),
        storage.read(id),
        storage.rotate(id, sessionId(`${id} rotated`)),
        storage.read(id),
        storage.read(sessionId(`${id} rotated`)),
        storage.end(sessionId(`${id} rotated`)),
        storage.read(sessionId(`${id} rotated`))
      ])
    )
  )
  for (const answer of answers) {
    expect(answer).toMatchObject([
      undefined,
      { version: 1 },
      { value: '{"n":1}' },
      { outcome: 'stored' },
      { value: '{"n":2}' },
      { value: '{"n":2}' },
      undefined,
      { value: '{"n":2}' },
      true,
      undefined
    ])
  }
})

test('batches answer as single calls do, for every kind of call', async () => {
  const single = await openStorage(database.url, { table: 'single' })
  const batched = await openStorage(database.url, { table: 'batched' })
  const ids = Array.from({ length: 40 }, (_, i) => sessionId(i))
  const steps: Array<(storage: PostgresSessionStorage, id: SessionId, i: number) => Promise<unknown>> = [
    (storage, id, i) =>
      i % 4 === 0 ? Promise.resolve() : storage.insert(id, entry({ i }, i % 3 ? 'u' : null)),
    (storage, id, i) => (i % 4 === 1 ? storage.end(id) : storage.read(id)),
    (storage, id) => storage.insert(id, { ...entry({ again: true }), idleTimeoutMs: 5_000 }),
    (storage, id, i) => storage.touch(id, i % 5 === 0 ? 7_000 : i % 5 === 1 ? null : undefined),
    (storage, id, i) =>
      storage.put(id, { ...entry({ put: i }, 'v'), idleTimeoutMs: i % 2 ? 9_000 : undefined }, 'refuse'),
    (storage, id, i) =>
      storage.put(id, { ...entry({ put: i }, 'w'), idleTimeoutMs: i % 2 ? null : undefined }, 'insert'),
    (storage, id, i) => storage.replace(id, entry({ replaced: i }, 'w'), i % 3),
    (storage, id) => storage.read(id)
  ]
  const withoutTimes = (answer: unknown) =>
    JSON.parse(
      JSON.stringify(answer ?? null, (key, value) =>
        ['createdAt', 'lastActiveAt', 'expiresAt', 'now'].includes(key) ? undefined : value
      )
    )
  for (const step of steps) {
    const inBatches = await Promise.all(ids.map((id, i) => step(batched, id, i)))
    const bySingles: unknown[] = []
    for (const [i, id] of ids.entries()) bySingles.push(await step(single, id, i))
    expect(inBatches.map(withoutTimes)).toEqual(bySingles.map(withoutTimes))
  }
})

test('what two stores at 128 callers each acknowledge is what the database holds', async () => {
  const stores = [await openStorage(database.url), await openStorage(database.url)]
  const ids = Array.from({ length: 100 }, (_, i) => sessionId(i))
  const ended = new Set<SessionId>()
  let operations = 0
  let seed = 7
  const random = (limit: number) => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % limit
  }
  await Promise.all(
    stores.flatMap((store) =>
      Array.from({ length: 128 }, async () => {
        while (operations++ < 8_000) {
          const id = ids[random(ids.length)] ?? sessionId(0)
          const wasEnded = ended.has(id)
          const kind = random(20)
          if (kind < 8) {
            const row = await store.read(id)
            if (wasEnded) expect(row).toBeUndefined()
          } else if (kind < 14) {
            const times = await store.touch(id)
            if (wasEnded) expect(times).toBeUndefined()
          } else if (kind < 19 || operations < 2_000) {
            const { outcome } = await store.put(id, entry({ operations }, `u${random(5)}`), 'insert')
            if (wasEnded) expect(outcome).toBe('ended')
          } else if (await store.end(id)) {
            ended.add(id)
          }
        }
      })
    )
  )
  expect(ended.size).toBeGreaterThan(0)
  const rows = await Promise.all(ids.map((id) => stores[0]?.read(id)))
  rows.forEach((row, i) => {
    if (ended.has(ids[i] ?? sessionId(0))) expect(row).toBeUndefined()
  })
})
