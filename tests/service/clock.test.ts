import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { DefaultSessionService } from '../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'

const HOUR = 3_600_000

/* On PostgreSQL the server's clock decides; a node that is hours off must neither see nor do anything else. */
describe.each([
  ['two hours ahead', 2 * HOUR],
  ['two hours behind', -2 * HOUR]
])('a node whose clock is %s', (_, offsetMs) => {
  let database: TestDatabase

  beforeAll(async () => {
    database = await createTestDatabase()
  })

  afterEach(() => {
    vi.useRealTimers()
  })

  afterAll(() => database.drop())

  function shiftClock(): void {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + offsetMs, shouldAdvanceTime: true })
  }

  test('sees live sessions as live and expired ones as expired, and prunes neither too early nor too late', async () => {
    const options = { idleTimeoutMs: HOUR, touchAfterMs: 0, pruneIntervalMs: 0 }
    await using right = await DefaultSessionService.connect(database.url, options)
    const { token, id, expiresAt } = await right.create({ user_id: 'ada' })
    await right.put('brief', {}, { ifMissing: 'insert', idleTimeoutMs: 1 })
    shiftClock()
    await using wrong = await DefaultSessionService.connect(database.url, options)
    const seen = await wrong.load(token)
    expect(seen?.expiresAt).toEqual(expiresAt)
    expect(seen?.expiresInMs).toBeGreaterThan(HOUR - 60_000)
    expect(seen?.expiresInMs).toBeLessThanOrEqual(HOUR)
    expect(await wrong.load('brief')).toBeUndefined()
    expect(await wrong.keyv.get(id)).toEqual({ user_id: 'ada' })
    expect(await wrong.keyv.has(id)).toBe(true)
    expect(await wrong.pruneExpired()).toBeLessThanOrEqual(1)
    expect(await wrong.touch(token)).toBe(true)
    expect(await wrong.save(token, { user_id: 'ada', n: 1 })).toBe(true)
    vi.useRealTimers()
    const after = await right.load(token)
    expect(after?.data).toEqual({ user_id: 'ada', n: 1 })
    expect(after?.expiresInMs).toBeGreaterThan(HOUR - 60_000)
    expect(after?.expiresInMs).toBeLessThanOrEqual(HOUR)
    await right.clearAllSessions()
  })

  test('turns an absolute time from Keyv into a duration', async () => {
    shiftClock()
    await using wrong = await DefaultSessionService.connect(database.url, { pruneIntervalMs: 0 })
    const { token, id } = await wrong.create({})
    await wrong.keyv.set(id, { n: 1 }, HOUR)
    vi.useRealTimers()
    await using right = await DefaultSessionService.connect(database.url, { pruneIntervalMs: 0 })
    const left = (await right.load(token))?.expiresInMs
    expect(left).toBeGreaterThan(HOUR - 60_000)
    expect(left).toBeLessThanOrEqual(HOUR)
  })
})
