import assert from 'node:assert/strict'
import { type Harness, present, rejectsWith } from './subject.ts'

/** The contract hands over what the types forbid, as plain JavaScript would. */
const untyped = (value: unknown) => value as never

const NO_TOKENS: Record<string, unknown> = {
  empty: '',
  undefined,
  null: null,
  'a number': 7,
  'an object': {},
  'an array': ['x'],
  'over 1,024 characters': 'x'.repeat(1025),
  'with NUL': 'a\0b',
  'with a lone surrogate': 'a\ud800'
}

const NO_USER_IDS: Record<string, unknown> = {
  'an empty string': '',
  'an object': { id: 7 },
  'an array': ['ada'],
  true: true,
  NaN: Number.NaN,
  'a string with NUL': 'a\0b',
  'a lone surrogate': 'a\udc00',
  'over 1,024 characters': 'x'.repeat(1025),
  'over 2,048 bytes': '界'.repeat(700)
}

export function inputContract(contract: Harness): void {
  contract.describe('bad input', () => {
    for (const [name, value] of Object.entries(NO_TOKENS)) {
      contract.test(`a token that is ${name} is an unknown token`, async (store) => {
        const sessions = await store.connect()
        const token = untyped(value)
        assert.equal(await sessions.load(token), undefined)
        assert.equal(await sessions.save(token, { a: 1 }), false)
        assert.equal(await sessions.update(token, () => ({ a: 1 })), undefined)
        assert.equal(await sessions.touch(token), false)
        assert.equal(await sessions.rotate(token), undefined)
        assert.equal(await sessions.destroy(token), false)
        assert.equal(await sessions.put(token, { a: 1 }, { ifMissing: 'insert' }), 'missing')
        assert.equal(await sessions.revoke(token), false)
        assert.equal(await store.countRows(), 0)
      })
    }

    contract.test('a token of 1,024 characters is one', async (store) => {
      const sessions = await store.connect()
      const token = 'ü'.repeat(1024)
      assert.equal(await sessions.put(token, { a: 1 }, { ifMissing: 'insert' }), 'stored')
      assert.ok(await sessions.load(token))
    })

    for (const [name, value] of Object.entries(NO_USER_IDS)) {
      contract.test(`a user id that is ${name} is refused, in data and as an argument`, async (store) => {
        const sessions = await store.connect()
        // NaN is no JSON, and that is found first.
        const code = typeof value === 'number' ? 'SESSION_DATA' : 'SESSION_CONFIGURATION'
        await rejectsWith(code, sessions.create({ user_id: value }))
        const userId = untyped(value)
        await rejectsWith('SESSION_CONFIGURATION', sessions.getSessionIdsForUser(userId))
        await rejectsWith('SESSION_CONFIGURATION', sessions.listSessionsForUser(userId))
        await rejectsWith('SESSION_CONFIGURATION', sessions.countSessionsForUser(userId))
        await rejectsWith('SESSION_CONFIGURATION', sessions.clearSessionsForUser(userId))
        assert.equal(await store.countRows(), 0)
      })
    }

    contract.test('an undefined or null user id as an argument is refused, not "nobody"', async (store) => {
      const sessions = await store.connect()
      await sessions.create({})
      for (const userId of [undefined, null]) {
        await rejectsWith('SESSION_CONFIGURATION', sessions.clearSessionsForUser(untyped(userId)))
        await rejectsWith('SESSION_CONFIGURATION', sessions.listSessionsForUser(untyped(userId)))
      }
      assert.equal(await sessions.countSessions(), 1)
    })

    contract.test('a userIdOf that throws or returns an object is an error with the cure', async (store) => {
      const throwing = await store.connect({
        userIdOf: () => {
          throw new Error('no account')
        }
      })
      const error = await rejectsWith('SESSION_CONFIGURATION', throwing.create({}), /userIdOf threw/)
      assert.equal((error.cause as Error).message, 'no account')
      await throwing.close()
      const wrong = await store.connect({ namespace: 'wrong', userIdOf: untyped(() => ({ id: 7 })) })
      await rejectsWith('SESSION_CONFIGURATION', wrong.create({}), /userIdOf.*an object/)
      assert.equal(await store.countRows(), 0)
    })

    contract.test('strange but sound user ids are themselves', async (store) => {
      const sessions = await store.connect()
      for (const userId of ['0', 'null', 'ADA', 'ada ', "o'hara", '✓', '%', '\\', '界'.repeat(600)]) {
        const { id } = await sessions.create({ user_id: userId })
        assert.deepEqual(await sessions.getSessionIdsForUser(userId), [id])
        assert.equal(present((await sessions.listSessionsForUser(userId))[0]).userId, userId)
      }
      assert.deepEqual(await sessions.getSessionIdsForUser('ada'), [])
      assert.equal(await sessions.clearSessionsForUser(0), 1)
    })

    contract.test('wrong arguments say what is allowed', async (store) => {
      const sessions = await store.connect()
      const { token } = await sessions.create({ user_id: 'ada' })
      await rejectsWith('SESSION_CONFIGURATION', sessions.update(token, untyped('change')), /function/)
      await rejectsWith('SESSION_CONFIGURATION', sessions.put(token, {}, untyped({})), /'insert' or 'refuse'/)
      for (const idleTimeoutMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, '60000']) {
        const options = untyped({ ifMissing: 'insert', idleTimeoutMs })
        await rejectsWith('SESSION_CONFIGURATION', sessions.put(token, {}, options), /idleTimeoutMs/)
        await rejectsWith(
          'SESSION_CONFIGURATION',
          sessions.touch(token, untyped({ idleTimeoutMs })),
          /idleTimeoutMs/
        )
      }
      await rejectsWith(
        'SESSION_CONFIGURATION',
        sessions.clearSessionsForUser('ada', { except: 'not an id' }),
        /except/
      )
      assert.ok(await sessions.load(token))
    })
  })
}
