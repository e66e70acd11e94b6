import type { Keyv } from 'keyv'
import type { Tagged, UnwrapTagged } from 'type-fest'
import { describe, expectTypeOf, test } from 'vitest'
import type { DefaultSessionService, Session, SessionId, SessionInfo, SessionToken } from '../../src/index.ts'

interface Basket {
  readonly userId?: string
  items: string[]
}

declare const sessions: DefaultSessionService<Basket>

describe('data', () => {
  test('has the type that the service was made for, wherever it comes out', () => {
    expectTypeOf(sessions.create({ items: [] })).resolves.toEqualTypeOf<Session<Basket>>()
    expectTypeOf(sessions.load('token')).resolves.toEqualTypeOf<Session<Basket> | undefined>()
    expectTypeOf(sessions.rotate('token')).resolves.toEqualTypeOf<Session<Basket> | undefined>()
    expectTypeOf(sessions.dumpAllSessions()).toExtend<AsyncIterable<SessionInfo<Basket>>>()
  })

  test('of another form is refused', () => {
    // @ts-expect-error items is missing
    sessions.create({})
    // @ts-expect-error items is a list
    sessions.save('token', { items: 'apple' })
    // @ts-expect-error a session's data is an object
    expectTypeOf<DefaultSessionService<string>>()
  })

  test('may be unreadable in a list, and in a list only', () => {
    expectTypeOf(sessions.listSessionsForUser('ada')).resolves.toEqualTypeOf<SessionInfo<Basket>[]>()
    expectTypeOf<SessionInfo<Basket>['data']>().toEqualTypeOf<Basket | undefined>()
    expectTypeOf<Session<Basket>['data']>().toEqualTypeOf<Basket>()
  })

  test('is changed in place, replaced or returned by a promise', () => {
    sessions.update('token', (basket) => {
      basket.items.push('apple')
    })
    sessions.update('token', (basket) => ({ ...basket, items: [] }))
    sessions.update('token', async (basket) => ({ items: basket.items }))
  })
})

describe('ids and tokens', () => {
  test('are strings that cannot be taken for each other', () => {
    expectTypeOf<SessionId>().toExtend<string>()
    expectTypeOf<SessionToken>().toExtend<string>()
    expectTypeOf<SessionId>().not.toExtend<SessionToken>()
    expectTypeOf<SessionToken>().not.toExtend<SessionId>()
    expectTypeOf<string>().not.toExtend<SessionId>()
  })

  test("are type-fest's tagged strings", () => {
    expectTypeOf<SessionId>().toEqualTypeOf<Tagged<string, 'SessionId'>>()
    expectTypeOf<SessionToken>().toEqualTypeOf<Tagged<string, 'SessionToken'>>()
    expectTypeOf<UnwrapTagged<SessionId>>().toEqualTypeOf<string>()
  })

  test('may be given as plain strings', () => {
    expectTypeOf(sessions.destroy('token')).resolves.toEqualTypeOf<boolean>()
    expectTypeOf(sessions.revoke('id', { userId: 'ada' })).resolves.toEqualTypeOf<boolean>()
    expectTypeOf(sessions.getSessionIdsForUser('ada')).resolves.toEqualTypeOf<SessionId[]>()
  })

  test('never stand together in what an account page lists', () => {
    expectTypeOf<SessionInfo>().not.toHaveProperty('token')
  })
})

test('put says what became of the session', () => {
  expectTypeOf(sessions.put('token', { items: [] }, { ifMissing: 'refuse' })).resolves.toEqualTypeOf<
    'stored' | 'missing' | 'ended'
  >()
  // @ts-expect-error an adapter must say what to do with a missing session
  sessions.put('token', { items: [] }, {})
})

test('the service gives its Keyv, and disposes of itself', () => {
  expectTypeOf(sessions.keyv).toEqualTypeOf<Keyv>()
  expectTypeOf(sessions).toExtend<AsyncDisposable>()
})
