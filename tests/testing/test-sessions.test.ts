import { describe, expect, test } from 'vitest'
import { ConfigurationError } from '../../src/index.ts'
import { createTestSessions, FakeClock, seedSessions, signIn } from '../../src/testing/index.ts'

const MINUTE = 60_000

describe('createTestSessions', () => {
  test('gives an empty service of its own each time', async () => {
    await using one = await createTestSessions()
    await using other = await createTestSessions()
    const { token } = await signIn(one.sessions, 'ada')
    expect((await one.sessions.load(token))?.userId).toBe('ada')
    expect(await other.sessions.load(token)).toBeUndefined()
  })

  test('expires by its clock, and by no other', async () => {
    await using test = await createTestSessions({ idleTimeoutMs: 10 * MINUTE })
    const { token, expiresAt } = await signIn(test.sessions, 'ada')
    expect(expiresAt.getTime()).toBe(test.clock.now() + 10 * MINUTE)
    test.clock.advance(10 * MINUTE - 1)
    expect(await test.sessions.load(token)).toBeDefined()
    test.clock.advance(1)
    expect(await test.sessions.load(token)).toBeUndefined()
    expect(await test.sessions.pruneExpired()).toBe(1)
  })

  test('spares touches by its clock too', async () => {
    await using test = await createTestSessions({ idleTimeoutMs: 10 * MINUTE, touchAfterMs: MINUTE })
    const { token, lastActiveAt } = await signIn(test.sessions, 'ada')
    const lastActive = async () => (await test.sessions.load(token))?.lastActiveAt
    test.clock.advance(MINUTE - 1)
    await test.sessions.touch(token)
    expect(await lastActive()).toEqual(lastActiveAt)
    test.clock.advance(1)
    await test.sessions.touch(token)
    expect(await lastActive()).toEqual(new Date(test.clock.now()))
  })

  test('starts at a moment of your choice', async () => {
    await using test = await createTestSessions({ clock: new FakeClock(new Date('2030-01-01T00:00:00Z')) })
    const { createdAt } = await test.sessions.create({})
    expect(createdAt.toISOString()).toBe('2030-01-01T00:00:00.000Z')
  })

  test('refuses what connect refuses', async () => {
    await expect(createTestSessions({ idleTimeoutMs: -1 })).rejects.toBeInstanceOf(ConfigurationError)
  })

  test('refuses calls after it was closed', async () => {
    const { sessions, close } = await createTestSessions()
    await close()
    await expect(sessions.load('token')).rejects.toMatchObject({ code: 'SESSION_CLOSED' })
  })
})

describe('FakeClock', () => {
  test('goes forward only, by whole milliseconds', () => {
    const clock = new FakeClock(1_000)
    clock.advance(0)
    clock.advance(5)
    expect(clock.now()).toBe(1_005)
    for (const wrong of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => clock.advance(wrong)).toThrow(ConfigurationError)
    }
    expect(() => new FakeClock(new Date('no date'))).toThrow(ConfigurationError)
    expect(clock.now()).toBe(1_005)
  })
})

describe('fixtures', () => {
  test('signIn makes a live session of the user, with data', async () => {
    await using test = await createTestSessions()
    const session = await signIn(test.sessions, 7, { theme: 'dark' })
    expect(session.data).toEqual({ user_id: 7, theme: 'dark' })
    expect(await test.sessions.getSessionIdsForUser(7)).toEqual([session.id])
  })

  test('signIn says so where the service does not find the user, and leaves no session', async () => {
    interface Account {
      account: { key: string }
    }
    await using test = await createTestSessions<Account>({ userIdOf: (data) => data.account?.key })
    await expect(signIn(test.sessions, 'ada')).rejects.toThrow(/userIdOf/)
    expect(await test.sessions.countSessions()).toBe(0)
    expect((await signIn(test.sessions, 'ada', { account: { key: 'ada' } })).userId).toBe('ada')
  })

  test('seedSessions makes so many for each user', async () => {
    await using test = await createTestSessions()
    const seeded = await seedSessions(test.sessions, { ada: 2, bob: 1 }, (userId, index) => ({
      device: `${userId}-${index}`
    }))
    expect(seeded.ada.map(({ data }) => data['device'])).toEqual(['ada-0', 'ada-1'])
    expect(await test.sessions.countSessionsForUser('bob')).toBe(1)
    expect(await test.sessions.clearSessionsForUser('ada')).toBe(2)
  })
})
