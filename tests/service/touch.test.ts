import { expect, test } from 'vitest'
import { createTestSessions } from '../../src/testing/index.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

test('a session in constant use is written once per touchAfterMs, and never runs out', async () => {
  await using harness = await createTestSessions({ idleTimeoutMs: 10 * MINUTE, touchAfterMs: MINUTE })
  const { sessions, clock } = harness
  const { token } = await sessions.create({})
  const writes = new Set<number>()
  for (let second = 0; second < 3600; second += 10) {
    clock.advance(10_000)
    expect(await sessions.touch(token)).toBe(true)
    const session = await sessions.load(token)
    writes.add(session?.lastActiveAt.getTime() ?? Number.NaN)
  }
  // One by create, then one a minute.
  expect(writes.size).toBe(61)
})

test('a touch asks the store again when the session that it remembers must have run out', async () => {
  await using harness = await createTestSessions({ idleTimeoutMs: HOUR, absoluteTimeoutMs: HOUR })
  const { token } = await harness.sessions.create({})
  // All of the hour is the absolute timeout's, so no touch gains anything; but at its end the answer changes.
  harness.clock.advance(HOUR - 1)
  expect(await harness.sessions.touch(token)).toBe(true)
  harness.clock.advance(1)
  expect(await harness.sessions.touch(token)).toBe(false)
})

test('a touch that the absolute deadline leaves nothing to gain is not written', async () => {
  await using harness = await createTestSessions({ idleTimeoutMs: HOUR, absoluteTimeoutMs: 65 * MINUTE })
  const { sessions, clock } = harness
  const { token } = await sessions.create({})
  clock.advance(30 * MINUTE)
  await sessions.touch(token)
  const written = (await sessions.load(token))?.lastActiveAt
  clock.advance(10 * MINUTE)
  expect(await sessions.touch(token)).toBe(true)
  expect((await sessions.load(token))?.lastActiveAt).toEqual(written)
})
