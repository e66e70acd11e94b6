import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { collect, type Harness, MINUTE, present, rejectsWith } from './subject.ts'

export function lifeContract(contract: Harness): void {
  contract.describe('the life of a session', () => {
    contract.test('create mints a token of 43 characters, whose hash is the id', async (store) => {
      const sessions = await store.connect()
      const session = await sessions.create({ user_id: 'ada', cart: [1, 2] })
      assert.match(session.token, /^[\w-]{43}$/)
      assert.equal(session.id, createHash('sha256').update(session.token).digest('base64url'))
      assert.equal(session.userId, 'ada')
      assert.deepEqual(session.data, { user_id: 'ada', cart: [1, 2] })
      assert.equal(session.createdAt.getTime(), session.lastActiveAt.getTime())
      assert.equal(session.expiresAt.getTime() - session.createdAt.getTime(), sessions.options.idleTimeoutMs)
    })

    contract.test('load gives what create stored, also on another node', async (store) => {
      const created = await (await store.connect()).create({ a: 1 })
      const loaded = present(await (await store.connect()).load(created.token))
      assert.deepEqual({ ...loaded, expiresInMs: 0 }, { ...created, expiresInMs: 0 })
      assert.ok(loaded.expiresInMs > 0 && loaded.expiresInMs <= created.expiresInMs)
    })

    contract.test('loading extends nothing', async (store) => {
      const sessions = await store.connect()
      const created = await sessions.create({})
      await store.age(MINUTE)
      const first = present(await sessions.load(created.token))
      const second = present(await sessions.load(created.token))
      assert.equal(first.expiresAt.getTime(), created.expiresAt.getTime() - MINUTE)
      assert.equal(second.expiresAt.getTime(), first.expiresAt.getTime())
    })

    contract.test('an unknown token has no session and leaves no row', async (store) => {
      const sessions = await store.connect()
      assert.equal(await sessions.load('unknown'), undefined)
      assert.equal(await sessions.save('unknown', { user_id: 'ada' }), false)
      assert.equal(await sessions.update('unknown', () => ({ user_id: 'ada' })), undefined)
      assert.equal(await sessions.touch('unknown'), false)
      assert.equal(await sessions.rotate('unknown', { user_id: 'ada' }), undefined)
      assert.equal(await sessions.destroy('unknown'), false)
      assert.equal(await sessions.put('unknown', {}, { ifMissing: 'refuse' }), 'missing')
      assert.equal(await store.countRows(), 0)
    })

    contract.test('save replaces the data and extends the idle timeout', async (store) => {
      const sessions = await store.connect()
      const created = await sessions.create({ a: 1, b: 2 })
      await store.age(MINUTE)
      assert.equal(await sessions.save(created.token, { c: 3 }), true)
      const loaded = present(await sessions.load(created.token))
      assert.deepEqual(loaded.data, { c: 3 })
      const idle = loaded.expiresAt.getTime() - loaded.lastActiveAt.getTime()
      assert.equal(idle, sessions.options.idleTimeoutMs)
      assert.ok(loaded.lastActiveAt.getTime() - loaded.createdAt.getTime() >= MINUTE)
    })

    contract.test('rotate gives a new token, keeps the data and ends the old one', async (store) => {
      const sessions = await store.connect()
      const before = await sessions.create({ user_id: 'ada', cart: ['tea'] })
      const after = present(await sessions.rotate(before.token))
      assert.notEqual(after.token, before.token)
      assert.notEqual(after.id, before.id)
      assert.deepEqual(after.data, before.data)
      assert.equal(after.createdAt.getTime(), before.createdAt.getTime())
      assert.equal(await sessions.load(before.token), undefined)
      assert.deepEqual(present(await sessions.load(after.token)).data, before.data)
      assert.equal(await sessions.countSessions(), 1)
      assert.deepEqual(await sessions.getSessionIdsForUser('ada'), [after.id])
    })

    contract.test('rotate replaces the data where data is given, as at a sign-in', async (store) => {
      const sessions = await store.connect()
      const visitor = await sessions.create({ cart: ['tea'] })
      const signedIn = present(await sessions.rotate(visitor.token, { user_id: 'ada', cart: ['tea'] }))
      assert.equal(signedIn.userId, 'ada')
      assert.deepEqual(present(await sessions.load(signedIn.token)).data, { user_id: 'ada', cart: ['tea'] })
    })

    contract.test('destroy ends the session once', async (store) => {
      const sessions = await store.connect()
      const { token } = await sessions.create({})
      assert.equal(await sessions.destroy(token), true)
      assert.equal(await sessions.destroy(token), false)
      assert.equal(await sessions.load(token), undefined)
    })

    contract.test(
      'put inserts under the token of a framework, replaces, and refuses where told',
      async (store) => {
        const sessions = await store.connect()
        const token = 'a token that a framework has made'
        assert.equal(await sessions.put(token, { n: 1 }, { ifMissing: 'refuse' }), 'missing')
        assert.equal(await sessions.put(token, { n: 1 }, { ifMissing: 'insert' }), 'stored')
        assert.equal(await sessions.put(token, { n: 2 }, { ifMissing: 'refuse' }), 'stored')
        assert.deepEqual(present(await sessions.load(token)).data, { n: 2 })
        assert.equal(await sessions.countSessions(), 1)
      }
    )

    contract.test(
      'put gives a session an idle timeout of its own, which save and touch keep',
      async (store) => {
        const sessions = await store.connect({ touchAfterMs: 0 })
        const lifetime = async () => {
          const { expiresAt, lastActiveAt } = present(await sessions.load('t'))
          return expiresAt.getTime() - lastActiveAt.getTime()
        }
        await sessions.put('t', {}, { ifMissing: 'insert', idleTimeoutMs: 5 * MINUTE })
        assert.equal(await lifetime(), 5 * MINUTE)
        await sessions.save('t', { a: 1 })
        assert.equal(await lifetime(), 5 * MINUTE)
        await sessions.touch('t')
        assert.equal(await lifetime(), 5 * MINUTE)
        await sessions.touch('t', { idleTimeoutMs: 7 * MINUTE })
        assert.equal(await lifetime(), 7 * MINUTE)
        assert.equal(present(await sessions.load('t')).idleTimeoutMs, 7 * MINUTE)
        await sessions.put('t', {}, { ifMissing: 'refuse' })
        assert.equal(await lifetime(), sessions.options.idleTimeoutMs)
      }
    )

    contract.test('no token is ever stored', async (store) => {
      const sessions = await store.connect()
      const created = await sessions.create({ user_id: 'ada' })
      const rotated = present(await sessions.rotate(created.token))
      await sessions.put('the-token-of-a-framework', { user_id: 'ada' }, { ifMissing: 'insert' })
      const stored = await store.dump()
      assert.ok(stored.includes(rotated.id), 'the dump shows what is stored')
      for (const token of [created.token, rotated.token, 'the-token-of-a-framework']) {
        assert.ok(!stored.includes(token), 'a token is in the store')
      }
    })

    contract.test('namespaces see only their own', async (store) => {
      const one = await store.connect({ namespace: 'one' })
      const two = await store.connect({ namespace: 'two' })
      const session = await one.create({ user_id: 'ada' })
      assert.equal(await two.load(session.token), undefined)
      assert.equal(await two.destroy(session.token), false)
      assert.equal(await two.clearSessionsForUser('ada'), 0)
      assert.equal(await two.clearAllSessions(), 0)
      assert.equal(await two.countSessions(), 0)
      assert.equal(await two.put(session.token, {}, { ifMissing: 'insert' }), 'stored')
      assert.equal(await one.countSessions(), 1)
      assert.equal(present(await one.load(session.token)).userId, 'ada')
    })

    contract.test('dumpAllSessions streams every live session once', async (store) => {
      const sessions = await store.connect()
      const created = await Promise.all(Array.from({ length: 250 }, (_, n) => sessions.create({ n })))
      await sessions.destroy(present(created[0]).token)
      const dumped = await collect(sessions.dumpAllSessions())
      assert.equal(dumped.length, 249)
      assert.deepEqual(new Set(dumped.map(({ id }) => id)), new Set(created.slice(1).map(({ id }) => id)))
      assert.ok(dumped.every((session) => !('token' in session)))
    })

    contract.test('ping answers', async (store) => {
      await (await store.connect()).ping()
    })

    contract.test('after close everything throws ClosedError, and close again is fine', async (store) => {
      const sessions = await store.connect()
      const { token, id } = await sessions.create({})
      await sessions.close()
      await sessions.close()
      const calls: Array<() => Promise<unknown>> = [
        () => sessions.create({}),
        () => sessions.load(token),
        () => sessions.save(token, {}),
        () => sessions.update(token, () => undefined),
        () => sessions.touch(token),
        () => sessions.rotate(token),
        () => sessions.destroy(token),
        () => sessions.put(token, {}, { ifMissing: 'insert' }),
        () => sessions.getSessionIdsForUser('ada'),
        () => sessions.listSessionsForUser('ada'),
        () => sessions.countSessionsForUser('ada'),
        () => sessions.clearSessionsForUser('ada'),
        () => sessions.revoke(id),
        () => sessions.countSessions(),
        () => sessions.clearAllSessions(),
        () => collect(sessions.dumpAllSessions()),
        () => sessions.pruneExpired(),
        () => sessions.ping()
      ]
      for (const call of calls) await rejectsWith('SESSION_CLOSED', call())
    })

    contract.test('close waits for what is under way', async (store) => {
      const sessions = await store.connect()
      const { token } = await sessions.create({ n: 0 })
      const saved = sessions.save(token, { n: 1 })
      const updated = sessions.update(token, async (data) => {
        await new Promise((resolve) => setImmediate(resolve))
        data['n'] = 2
      })
      await sessions.close()
      assert.equal(await saved, true)
      assert.ok(await updated)
      assert.deepEqual(present(await (await store.connect()).load(token)).data, { n: 2 })
    })
  })
}
