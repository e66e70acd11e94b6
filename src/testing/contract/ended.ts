import assert from 'node:assert/strict'
import type { DefaultSessionService } from '../../default-session-service.ts'
import { DAY, type Harness, HOUR, present } from './subject.ts'

type Sessions = DefaultSessionService
type Ended = { token: string; id: string }

/** Every way to end a session; each resolves with what was ended. */
const ENDINGS: Record<string, (sessions: Sessions) => Promise<Ended>> = {
  destroy: async (sessions) => {
    const session = await sessions.create({ user_id: 'ada' })
    await sessions.destroy(session.token)
    return session
  },
  revoke: async (sessions) => {
    const session = await sessions.create({ user_id: 'ada' })
    await sessions.revoke(session.id)
    return session
  },
  rotate: async (sessions) => {
    const session = await sessions.create({ user_id: 'ada' })
    await sessions.rotate(session.token)
    return session
  },
  clearSessionsForUser: async (sessions) => {
    const session = await sessions.create({ user_id: 'ada' })
    await sessions.clearSessionsForUser('ada')
    return session
  },
  clearAllSessions: async (sessions) => {
    const session = await sessions.create({ user_id: 'ada' })
    await sessions.clearAllSessions()
    return session
  },
  'a delete through Keyv': async (sessions) => {
    const session = await sessions.create({ user_id: 'ada' })
    await sessions.keyv.delete(session.id)
    return session
  }
}

/** Every write there is; none may bring the session back. */
async function writeEverything(sessions: Sessions, { token, id }: Ended): Promise<void> {
  assert.equal(await sessions.save(token, { user_id: 'ada' }), false)
  assert.equal(await sessions.update(token, () => ({ user_id: 'ada' })), undefined)
  assert.equal(await sessions.touch(token), false)
  assert.equal(await sessions.rotate(token, { user_id: 'ada' }), undefined)
  assert.equal(await sessions.put(token, { user_id: 'ada' }, { ifMissing: 'insert' }), 'ended')
  assert.equal(await sessions.put(token, { user_id: 'ada' }, { ifMissing: 'refuse' }), 'ended')
  assert.equal(await sessions.keyv.set(id, { user_id: 'ada' }), false)
  assert.deepEqual(await sessions.keyv.setMany([{ key: id, value: { user_id: 'ada' } }]), [false])
}

async function isGone(sessions: Sessions, { token, id }: Ended): Promise<void> {
  assert.equal(await sessions.load(token), undefined)
  assert.equal(await sessions.keyv.get(id), undefined)
  assert.equal(await sessions.keyv.has(id), false)
  assert.ok(!(await sessions.getSessionIdsForUser('ada')).some((other) => other === id))
  for await (const session of sessions.dumpAllSessions()) assert.notEqual(session.id, id)
}

export function endedContract(contract: Harness): void {
  contract.describe('ended stays ended', () => {
    for (const [name, end] of Object.entries(ENDINGS)) {
      contract.test(`after ${name} no write brings the session back`, async (store) => {
        const sessions = await store.connect()
        const ended = await end(sessions)
        await writeEverything(sessions, ended)
        await isGone(sessions, ended)
      })

      contract.testNodes(`after ${name} on one node no write of another brings it back`, async (store) => {
        const here = await store.connect()
        const there = await store.connect({ touchAfterMs: 0 })
        const ended = await end(here)
        await writeEverything(there, ended)
        await isGone(there, ended)
      })
    }

    contract.testNodes(
      'a save, update or touch that is on its way while a session ends does not bring it back',
      async (store) => {
        const here = await store.connect()
        const there = await store.connect({ touchAfterMs: 0 })
        for (let round = 0; round < 30; round++) {
          const { token, id } = await here.create({ user_id: 'ada' })
          const ending =
            round % 3 === 0
              ? here.destroy(token)
              : round % 3 === 1
                ? here.revoke(id)
                : here.clearSessionsForUser('ada')
          await Promise.all([
            there.save(token, { user_id: 'ada', n: 1 }),
            there.put(token, { user_id: 'ada', n: 2 }, { ifMissing: 'insert' }),
            there.touch(token),
            ending,
            there.update(token, (data) => ({ ...data, n: 3 })),
            there.put(token, { user_id: 'ada', n: 4 }, { ifMissing: 'insert' })
          ])
          await isGone(there, { token, id })
        }
      }
    )

    contract.test('an update that was under way when the session ended writes nothing', async (store) => {
      const sessions = await store.connect()
      const { token, id } = await sessions.create({ user_id: 'ada' })
      const result = await sessions.update(token, async (data) => {
        await sessions.destroy(token)
        data['n'] = 1
      })
      assert.equal(result, undefined)
      await isGone(sessions, { token, id })
    })

    contract.test(
      'tombstones are neither counted nor listed, and hold no data and no user',
      async (store) => {
        const sessions = await store.connect()
        const { token } = await sessions.create({ user_id: 'ada-lovelace', secret: 'sekrit' })
        await sessions.rotate(token)
        await sessions.clearSessionsForUser('ada-lovelace')
        assert.equal(await sessions.countSessions(), 0)
        assert.equal(await sessions.countSessionsForUser('ada-lovelace'), 0)
        assert.deepEqual(await sessions.listSessionsForUser('ada-lovelace'), [])
        const stored = await store.dump()
        assert.ok(!stored.includes('ada-lovelace') && !stored.includes('sekrit'))
      }
    )

    contract.test(
      'prune removes tombstones when their time is over, and does not count them',
      async (store) => {
        const sessions = await store.connect({ tombstoneMs: HOUR })
        const ended = await sessions.create({})
        await sessions.destroy(ended.token)
        assert.equal(await sessions.pruneExpired(), 0)
        assert.equal(await sessions.put(ended.token, {}, { ifMissing: 'insert' }), 'ended')
        await store.age(2 * HOUR)
        assert.equal(await sessions.pruneExpired(), 0)
        assert.equal(await store.countRows(), 0)
      }
    )

    contract.test('a tombstone past its time counts as pruned, whether or not it is', async (store) => {
      const sessions = await store.connect({ tombstoneMs: HOUR })
      const { token } = await sessions.create({})
      await sessions.destroy(token)
      await store.age(2 * HOUR)
      assert.equal(await sessions.put(token, { n: 1 }, { ifMissing: 'refuse' }), 'missing')
      assert.equal(await sessions.put(token, { n: 1 }, { ifMissing: 'insert' }), 'stored')
      assert.deepEqual(present(await sessions.load(token)).data, { n: 1 })
    })

    contract.test('a request that outlives the tombstone revives nothing either', async (store) => {
      const sessions = await store.connect()
      const { token } = await sessions.create({ user_id: 'ada' })
      await sessions.destroy(token)
      await store.age(2 * DAY)
      await sessions.pruneExpired()
      assert.equal(await sessions.put(token, { user_id: 'ada' }, { ifMissing: 'refuse' }), 'missing')
      assert.equal(await sessions.save(token, { user_id: 'ada' }), false)
      assert.equal(await store.countRows(), 0)
    })

    contract.testNodes('sign out everywhere misses no session that is being rotated', async (store) => {
      const here = await store.connect()
      const there = await store.connect()
      for (let round = 0; round < 20; round++) {
        const created = await Promise.all([1, 2, 3, 4].map(() => here.create({ user_id: 'ada' })))
        const rotating = created.map(async ({ token }) => {
          let latest: string | undefined = token
          for (let turn = 0; turn < 3 && latest !== undefined; turn++)
            latest = (await here.rotate(latest))?.token
        })
        await there.clearSessionsForUser('ada')
        await Promise.all(rotating)
        assert.equal(await there.countSessionsForUser('ada'), 0)
        assert.equal(await here.countSessions(), 0)
      }
    })

    contract.testNodes('revoke misses no session that is being rotated', async (store) => {
      const here = await store.connect()
      const there = await store.connect()
      for (let round = 0; round < 30; round++) {
        const { token, id } = await here.create({ user_id: 'ada' })
        const [, revoked] = await Promise.all([here.rotate(token), there.revoke(id, { userId: 'ada' })])
        assert.equal(revoked, true)
        assert.equal(await here.countSessions(), 0)
      }
    })

    contract.testNodes(
      'clearAllSessions ends what was live when it began, also what rotates meanwhile',
      async (store) => {
        const here = await store.connect()
        const there = await store.connect()
        for (let round = 0; round < 5; round++) {
          const created = await Promise.all(
            Array.from({ length: 40 }, (_, n) => here.create({ user_id: `u${n}` }))
          )
          const rotating = created.map(({ token }) => here.rotate(token))
          await there.clearAllSessions()
          await Promise.all(rotating)
          assert.equal(await here.countSessions(), 0)
        }
      }
    )
  })
}
