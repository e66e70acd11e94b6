import assert from 'node:assert/strict'
import { collect, type Harness, HOUR, MINUTE, present } from './subject.ts'

const SHORT = { idleTimeoutMs: HOUR, absoluteTimeoutMs: 3 * HOUR, touchAfterMs: 0 } as const

export function expiryContract(contract: Harness): void {
  contract.describe('expiry', () => {
    contract.test('a session that is not used ends with its idle timeout, pruned or not', async (store) => {
      const sessions = await store.connect(SHORT)
      const { token, id } = await sessions.create({ user_id: 'ada' })
      await store.age(HOUR)
      assert.equal(await sessions.load(token), undefined)
      assert.equal(await sessions.countSessions(), 0)
      assert.equal(await sessions.countSessionsForUser('ada'), 0)
      assert.deepEqual(await sessions.listSessionsForUser('ada'), [])
      assert.deepEqual(await collect(sessions.dumpAllSessions()), [])
      assert.equal(await sessions.keyv.get(id), undefined)
      assert.equal(await store.countRows(), 1, 'reading deletes nothing')
      assert.equal(await sessions.pruneExpired(), 1)
      assert.equal(await sessions.pruneExpired(), 0)
      assert.equal(await store.countRows(), 0)
    })

    contract.test('an expired session is beyond every write', async (store) => {
      const sessions = await store.connect(SHORT)
      const { token, id } = await sessions.create({ user_id: 'ada' })
      await store.age(HOUR)
      assert.equal(await sessions.save(token, {}), false)
      assert.equal(await sessions.update(token, () => ({})), undefined)
      assert.equal(await sessions.touch(token), false)
      assert.equal(await sessions.rotate(token), undefined)
      assert.equal(await sessions.put(token, {}, { ifMissing: 'refuse' }), 'missing')
      assert.equal(await sessions.destroy(token), false)
      assert.equal(await sessions.revoke(id), false)
      assert.equal(await sessions.clearSessionsForUser('ada'), 0)
      assert.equal(await sessions.clearAllSessions(), 0)
    })

    contract.test('inserting under an expired token starts a new session', async (store) => {
      const sessions = await store.connect(SHORT)
      await sessions.put('t', { n: 1 }, { ifMissing: 'insert' })
      const before = present(await sessions.load('t'))
      await store.age(HOUR)
      assert.equal(await sessions.put('t', { n: 2 }, { ifMissing: 'insert' }), 'stored')
      const after = present(await sessions.load('t'))
      assert.ok(after.createdAt.getTime() >= before.createdAt.getTime())
      assert.equal(after.createdAt.getTime(), after.lastActiveAt.getTime())
      assert.deepEqual(after.data, { n: 2 })
    })

    contract.test('touch extends the idle timeout, and nothing else', async (store) => {
      const sessions = await store.connect(SHORT)
      const created = await sessions.create({ user_id: 'ada', n: 1 })
      await store.age(40 * MINUTE)
      assert.equal(await sessions.touch(created.token), true)
      await store.age(40 * MINUTE)
      const loaded = present(await sessions.load(created.token))
      assert.deepEqual(loaded.data, { user_id: 'ada', n: 1 })
      assert.equal(loaded.userId, 'ada')
      assert.equal(loaded.expiresAt.getTime() - loaded.lastActiveAt.getTime(), HOUR)
      assert.ok(loaded.lastActiveAt.getTime() - loaded.createdAt.getTime() >= 40 * MINUTE)
    })

    contract.test('nothing passes the absolute deadline', async (store) => {
      const sessions = await store.connect(SHORT)
      const { token } = await sessions.create({ n: 0 })
      const uses: Array<() => Promise<unknown>> = [
        () => sessions.touch(token),
        () => sessions.save(token, { n: 1 }),
        () => sessions.update(token, () => ({ n: 2 })),
        () => sessions.put(token, { n: 3 }, { ifMissing: 'refuse', idleTimeoutMs: 10 * HOUR }),
        () => sessions.touch(token, { idleTimeoutMs: 20 * HOUR })
      ]
      for (const use of uses) {
        await store.age(34 * MINUTE)
        assert.ok(await use())
        const { createdAt, expiresAt } = present(await sessions.load(token))
        assert.ok(expiresAt.getTime() - createdAt.getTime() <= 3 * HOUR)
      }
      const rotated = present(await sessions.rotate(token))
      assert.equal(rotated.expiresAt.getTime() - rotated.createdAt.getTime(), 3 * HOUR)
      await store.age(11 * MINUTE)
      assert.equal(await sessions.load(rotated.token), undefined)
      assert.equal(await sessions.touch(rotated.token), false)
    })

    contract.testNodes(
      'an absolute timeout that was made shorter holds for the sessions that are there',
      async (store) => {
        const before = await store.connect({ idleTimeoutMs: 5 * HOUR, absoluteTimeoutMs: 10 * HOUR })
        const { token, id } = await before.create({ user_id: 'ada' })
        await store.age(3 * HOUR)
        const after = await store.connect({
          idleTimeoutMs: HOUR,
          absoluteTimeoutMs: 2 * HOUR,
          touchAfterMs: 0
        })
        assert.ok(await before.load(token))
        assert.equal(await after.load(token), undefined)
        assert.equal(await after.touch(token), false)
        assert.equal(await after.save(token, {}), false)
        assert.equal(await after.rotate(token), undefined)
        assert.equal(await after.put(token, {}, { ifMissing: 'refuse' }), 'missing')
        assert.equal(await after.countSessions(), 0)
        assert.deepEqual(await after.listSessionsForUser('ada'), [])
        assert.deepEqual(await collect(after.dumpAllSessions()), [])
        assert.equal(await after.keyv.get(id), undefined)
      }
    )

    contract.test('the idle timeout of one session is cut at the absolute one', async (store) => {
      const sessions = await store.connect(SHORT)
      await sessions.put('t', {}, { ifMissing: 'insert', idleTimeoutMs: 10 * HOUR })
      const { createdAt, expiresAt } = present(await sessions.load('t'))
      assert.equal(expiresAt.getTime() - createdAt.getTime(), 3 * HOUR)
    })

    contract.test('prune removes what has expired, and nothing that is live', async (store) => {
      const sessions = await store.connect(SHORT)
      const old = await Promise.all(Array.from({ length: 30 }, () => sessions.create({ user_id: 'ada' })))
      await store.age(50 * MINUTE)
      const kept = present(old[0])
      assert.equal(await sessions.touch(kept.token), true)
      const fresh = await sessions.create({})
      await store.age(20 * MINUTE)
      assert.equal(await sessions.pruneExpired(), 29)
      assert.equal(await sessions.countSessions(), 2)
      assert.ok(await sessions.load(kept.token))
      assert.ok(await sessions.load(fresh.token))
      await store.age(50 * MINUTE)
      assert.equal(await sessions.pruneExpired(), 2)
      assert.equal(await store.countRows(), 0)
    })

    contract.test(
      'a touch that would gain little asks nobody; one that would gain enough writes',
      async (store) => {
        const sessions = await store.connect({ idleTimeoutMs: HOUR, touchAfterMs: MINUTE })
        const { token, lastActiveAt } = await sessions.create({})
        const lastActive = async () => present(await sessions.load(token)).lastActiveAt.getTime()
        assert.equal(await sessions.touch(token), true)
        assert.equal(await lastActive(), lastActiveAt.getTime())
        await store.age(30_000)
        const aged = await lastActive() // this load tells how much time is left
        assert.equal(await sessions.touch(token), true)
        assert.equal(await lastActive(), aged)
        await store.age(31_000)
        const older = await lastActive()
        assert.equal(await sessions.touch(token), true)
        assert.ok((await lastActive()) > older)
      }
    )

    contract.test('a touch is never spared for a session that ended here', async (store) => {
      const sessions = await store.connect()
      const make = () => sessions.create({ user_id: 'ada' })
      const destroyed = await make()
      await sessions.destroy(destroyed.token)
      assert.equal(await sessions.touch(destroyed.token), false)
      const revoked = await make()
      await sessions.revoke(revoked.id)
      assert.equal(await sessions.touch(revoked.token), false)
      const rotated = await make()
      await sessions.rotate(rotated.token)
      assert.equal(await sessions.touch(rotated.token), false)
      const cleared = await make()
      await sessions.clearSessionsForUser('ada')
      assert.equal(await sessions.touch(cleared.token), false)
      const swept = await make()
      await sessions.clearAllSessions()
      assert.equal(await sessions.touch(swept.token), false)
      const deleted = await make()
      await sessions.keyv.delete(deleted.id)
      assert.equal(await sessions.touch(deleted.token), false)
    })

    contract.test(
      'a session with a short timeout of its own does not run out while its touches are spared',
      async (store) => {
        const sessions = await store.connect({ idleTimeoutMs: HOUR, touchAfterMs: MINUTE })
        await sessions.put('t', {}, { ifMissing: 'insert', idleTimeoutMs: 30_000 })
        await store.age(4_000)
        const before = present(await sessions.load('t')).lastActiveAt.getTime()
        assert.equal(await sessions.touch('t'), true)
        assert.ok(present(await sessions.load('t')).lastActiveAt.getTime() > before)
      }
    )

    contract.testNodes('a session that is renewed while it is pruned survives', async (store) => {
      const here = await store.connect(SHORT)
      const there = await store.connect(SHORT)
      for (let round = 0; round < 10; round++) {
        const created = await Promise.all(Array.from({ length: 20 }, () => here.create({})))
        const [touched] = await Promise.all([
          Promise.all(created.map(({ token }) => here.touch(token))),
          there.pruneExpired(),
          store.age(10 * MINUTE)
        ])
        assert.ok(touched.every(Boolean))
        for (const { token } of created) assert.ok(await there.load(token))
        await here.clearAllSessions()
      }
    })
  })
}
