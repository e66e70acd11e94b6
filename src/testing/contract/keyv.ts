import assert from 'node:assert/strict'
import { collect, type Harness, HOUR, MINUTE, present } from './subject.ts'

export function keyvContract(contract: Harness): void {
  contract.describe('the store seen as a plain Keyv', () => {
    contract.test('gets, has, sets, deletes and iterates by session id', async (store) => {
      const sessions = await store.connect()
      const { keyv } = sessions
      const { token, id } = await sessions.create({ user_id: 'ada', n: 1 })
      assert.deepEqual(await keyv.get(id), { user_id: 'ada', n: 1 })
      assert.equal(await keyv.has(id), true)
      assert.equal(await keyv.set(id, { user_id: 'bob', n: 2 }), true)
      assert.deepEqual(present(await sessions.load(token)).data, { user_id: 'bob', n: 2 })
      assert.deepEqual(await sessions.getSessionIdsForUser('bob'), [id])
      assert.deepEqual(await collect(keyv.iterator()), [[id, { user_id: 'bob', n: 2 }]])
      assert.deepEqual(await keyv.getMany([id, 'x'.repeat(43)]), [{ user_id: 'bob', n: 2 }, undefined])
      assert.deepEqual(await keyv.hasMany([id, 'x'.repeat(43)]), [true, false])
      assert.equal(await keyv.delete(id), true)
      assert.equal(await keyv.delete(id), false)
      assert.equal(await sessions.load(token), undefined)
    })

    contract.test('a ttl through Keyv is an idle timeout, cut at the absolute one', async (store) => {
      const sessions = await store.connect({ idleTimeoutMs: HOUR, absoluteTimeoutMs: 2 * HOUR })
      const { token, id } = await sessions.create({})
      await sessions.keyv.set(id, { a: 1 }, 5 * MINUTE)
      const left = present(await sessions.load(token)).expiresInMs
      assert.ok(left > 4 * MINUTE && left <= 5 * MINUTE)
      await sessions.keyv.set(id, { a: 1 }, 10 * HOUR)
      const session = present(await sessions.load(token))
      assert.equal(session.expiresAt.getTime() - session.createdAt.getTime(), 2 * HOUR)
    })

    contract.test('a time through Keyv that has passed ends the session', async (store) => {
      const sessions = await store.connect()
      const { token, id } = await sessions.create({ n: 1 })
      await sessions.keyv.setRaw(id, { value: { n: 2 }, expires: Date.now() - 1 })
      assert.equal(await sessions.load(token), undefined)
      assert.equal(await sessions.put(token, { n: 3 }, { ifMissing: 'insert' }), 'ended')
    })

    contract.test('a key that is no session id has no value and takes none', async (store) => {
      const { keyv } = await store.connect()
      for (const key of ['k', 'x'.repeat(44), "'; --", '\0', 'sessions:k']) {
        assert.equal(await keyv.set(key, { a: 1 }), false)
        assert.equal(await keyv.get(key), undefined)
        assert.equal(await keyv.delete(key), false)
      }
      assert.equal(await store.countRows(), 0)
    })

    contract.test('clear through Keyv leaves tombstones', async (store) => {
      const sessions = await store.connect()
      const { token } = await sessions.create({})
      await sessions.keyv.clear()
      assert.equal(await sessions.countSessions(), 0)
      assert.equal(await sessions.put(token, {}, { ifMissing: 'insert' }), 'ended')
    })
  })
}
