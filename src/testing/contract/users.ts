import assert from 'node:assert/strict'
import { type Harness, HOUR, MINUTE, present, rejectsWith } from './subject.ts'

export function userContract(contract: Harness): void {
  contract.describe('the index by user', () => {
    contract.test('reads user_id, then userId, then what Passport keeps', async (store) => {
      const sessions = await store.connect()
      const userIdFor = async (data: Record<string, unknown>) => (await sessions.create(data)).userId
      assert.equal(await userIdFor({ user_id: 'a', userId: 'b', passport: { user: 'c' } }), 'a')
      assert.equal(await userIdFor({ userId: 'b', passport: { user: 'c' } }), 'b')
      assert.equal(await userIdFor({ user_id: null, userId: 'b' }), 'b')
      assert.equal(await userIdFor({ passport: { user: 'c' } }), 'c')
      assert.equal(await userIdFor({ passport: { user: { id: 7, name: 'Ada' } } }), '7')
      assert.equal(await userIdFor({ user_id: 42 }), '42')
      assert.equal(await userIdFor({ passport: {} }), null)
      assert.equal(await userIdFor({}), null)
    })

    contract.test('userIdOf may say where the user is', async (store) => {
      const sessions = await store.connect<{ account?: { key: number } }>({
        userIdOf: (data) => data.account?.key
      })
      assert.equal((await sessions.create({ account: { key: 9 } })).userId, '9')
      assert.equal((await sessions.create({})).userId, null)
      assert.equal(await sessions.countSessionsForUser(9), 1)
    })

    contract.test('every kind of write moves the session in the index', async (store) => {
      const sessions = await store.connect()
      const ids = (user: string) => sessions.getSessionIdsForUser(user)
      const { token, id } = await sessions.create({ user_id: 'ada' })
      assert.deepEqual(await ids('ada'), [id])
      await sessions.save(token, { user_id: 'bob' })
      assert.deepEqual([await ids('ada'), await ids('bob')], [[], [id]])
      await sessions.update(token, (data) => {
        data['user_id'] = 'cleo'
      })
      assert.deepEqual([await ids('bob'), await ids('cleo')], [[], [id]])
      await sessions.put(token, { user_id: 'dan' }, { ifMissing: 'refuse' })
      assert.deepEqual([await ids('cleo'), await ids('dan')], [[], [id]])
      const rotated = present(await sessions.rotate(token, { user_id: 'eve' }))
      assert.deepEqual([await ids('dan'), await ids('eve')], [[], [rotated.id]])
    })

    contract.test('a save without a user id clears it', async (store) => {
      const sessions = await store.connect()
      const { token } = await sessions.create({ user_id: 'ada' })
      await sessions.save(token, { theme: 'dark' })
      assert.equal(present(await sessions.load(token)).userId, null)
      assert.equal(await sessions.countSessionsForUser('ada'), 0)
      assert.equal(await sessions.clearSessionsForUser('ada'), 0)
      assert.ok(await sessions.load(token))
    })

    contract.test('lists sessions with the most recently active first, and never a token', async (store) => {
      const sessions = await store.connect()
      const first = await sessions.create({ user_id: 'ada', device: 'phone' })
      await store.age(MINUTE)
      const second = await sessions.create({ user_id: 'ada', device: 'laptop' })
      await store.age(MINUTE)
      await sessions.create({ user_id: 'bob' })
      assert.deepEqual(await sessions.getSessionIdsForUser('ada'), [second.id, first.id])
      await sessions.save(first.token, { user_id: 'ada', device: 'phone' })
      const list = await sessions.listSessionsForUser('ada')
      assert.deepEqual(
        list.map(({ id, userId, data }) => ({ id, userId, data })),
        [
          { id: first.id, userId: 'ada', data: { user_id: 'ada', device: 'phone' } },
          { id: second.id, userId: 'ada', data: { user_id: 'ada', device: 'laptop' } }
        ]
      )
      assert.ok(list.every((session) => !('token' in session) && session.expiresAt > session.lastActiveAt))
      assert.equal(await sessions.countSessionsForUser('ada'), 2)
    })

    contract.test('clearSessionsForUser signs out everywhere, or everywhere else', async (store) => {
      const sessions = await store.connect()
      const [here, there, elsewhere, others] = await Promise.all([
        sessions.create({ user_id: 'ada' }),
        sessions.create({ user_id: 'ada' }),
        sessions.create({ user_id: 'ada' }),
        sessions.create({ user_id: 'bob' })
      ])
      assert.equal(await sessions.clearSessionsForUser('ada', { except: here.id }), 2)
      assert.ok(await sessions.load(here.token))
      assert.equal(await sessions.load(there.token), undefined)
      assert.equal(await sessions.load(elsewhere.token), undefined)
      assert.equal(await sessions.clearSessionsForUser('ada'), 1)
      assert.equal(await sessions.load(here.token), undefined)
      assert.ok(await sessions.load(others.token))
    })

    contract.test(
      "revoke ends a session by its id; with a user id only if it is that user's",
      async (store) => {
        const sessions = await store.connect()
        const session = await sessions.create({ user_id: 'ada' })
        const visitor = await sessions.create({})
        assert.equal(await sessions.revoke(session.id, { userId: 'bob' }), false)
        assert.equal(await sessions.revoke(visitor.id, { userId: 'bob' }), false)
        assert.ok(await sessions.load(session.token))
        assert.equal(await sessions.revoke(session.id, { userId: 'ada' }), true)
        assert.equal(await sessions.revoke(session.id, { userId: 'ada' }), false)
        assert.equal(await sessions.load(session.token), undefined)
        assert.equal(await sessions.revoke(visitor.id), true)
        assert.equal(await sessions.load(visitor.token), undefined)
      }
    )

    contract.test(
      'revoke with an id that was rotated away ends the session that it became',
      async (store) => {
        const sessions = await store.connect()
        const first = await sessions.create({ user_id: 'ada' })
        const second = present(await sessions.rotate(first.token))
        const third = present(await sessions.rotate(second.token))
        assert.equal(await sessions.revoke(first.id, { userId: 'bob' }), false)
        assert.equal(await sessions.revoke(first.id, { userId: 'ada' }), true)
        assert.equal(await sessions.load(third.token), undefined)
      }
    )

    contract.test('destroy with an old token leaves the rotated session alone', async (store) => {
      const sessions = await store.connect()
      const planted = await sessions.create({})
      const own = present(await sessions.rotate(planted.token, { user_id: 'ada' }))
      assert.equal(await sessions.destroy(planted.token), false)
      assert.ok(await sessions.load(own.token))
    })

    contract.test('revoke with a user id that turned out to be undefined refuses', async (store) => {
      const sessions = await store.connect()
      const { id, token } = await sessions.create({ user_id: 'ada' })
      const userId = undefined as unknown as string // as from JavaScript, or an index that the compiler trusts
      await rejectsWith('SESSION_CONFIGURATION', sessions.revoke(id, { userId }))
      assert.ok(await sessions.load(token))
    })

    contract.test(
      'a change of user starts createdAt and the absolute timeout anew; other writes do not',
      async (store) => {
        const sessions = await store.connect({ idleTimeoutMs: HOUR, absoluteTimeoutMs: 2 * HOUR })
        const { token } = await sessions.create({})
        await store.age(50 * MINUTE)
        const before = present(await sessions.load(token))
        await sessions.save(token, { theme: 'dark' })
        const kept = present(await sessions.load(token))
        assert.equal(kept.createdAt.getTime(), before.createdAt.getTime())
        await sessions.save(token, { user_id: 'ada' })
        const anew = present(await sessions.load(token))
        assert.ok(anew.createdAt.getTime() >= before.createdAt.getTime() + 50 * MINUTE)
        await sessions.save(token, { user_id: 'ada', theme: 'dark' })
        assert.equal(present(await sessions.load(token)).createdAt.getTime(), anew.createdAt.getTime())
        const rotated = present(await sessions.rotate(token, { user_id: 'bob' }))
        assert.ok(rotated.createdAt.getTime() >= anew.createdAt.getTime())
      }
    )
  })
}
