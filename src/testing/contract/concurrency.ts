import assert from 'node:assert/strict'
import { type Harness, present } from './subject.ts'

export function concurrencyContract(contract: Harness): void {
  contract.describe('concurrency', () => {
    contract.testNodes(
      'update loses nothing among 100 parallel increments from two services',
      async (store) => {
        const nodes = [await store.connect<{ n: number }>(), await store.connect<{ n: number }>()] as const
        const { token } = await nodes[0].create({ n: 0 })
        const increments = Array.from({ length: 100 }, (_, turn) =>
          (turn % 2 === 0 ? nodes[0] : nodes[1]).update(token, (data) => {
            data.n++
          })
        )
        const seen = (await Promise.all(increments)).map((session) => present(session).data.n)
        assert.equal(present(await nodes[1].load(token)).data.n, 100)
        assert.deepEqual(
          seen.toSorted((a, b) => a - b),
          Array.from({ length: 100 }, (_, index) => index + 1)
        )
      }
    )

    contract.test(
      'update loses nothing among parallel increments of one service, also asynchronous ones',
      async (store) => {
        const sessions = await store.connect<{ n: number }>()
        const { token } = await sessions.create({ n: 0 })
        let runs = 0
        await Promise.all(
          Array.from({ length: 50 }, () =>
            sessions.update(token, async (data) => {
              runs++
              await new Promise((resolve) => setImmediate(resolve))
              return { n: data.n + 1 }
            })
          )
        )
        assert.equal(present(await sessions.load(token)).data.n, 50)
        assert.equal(runs, 50, 'in one process updates of a session queue, and none has to run again')
      }
    )

    contract.test('a change that throws writes nothing, and its error is passed on', async (store) => {
      const sessions = await store.connect<{ n: number }>()
      const { token } = await sessions.create({ n: 1 })
      const problem = new Error('the application says no')
      const failing = (change: (data: { n: number }) => void | Promise<void>) =>
        sessions.update(token, change).catch((error: unknown) => error)
      const thrown = await failing((data) => {
        data.n = 2
        throw problem
      })
      const rejected = await failing(async (data) => {
        data.n = 3
        throw problem
      })
      assert.equal(thrown, problem)
      assert.equal(rejected, problem)
      assert.deepEqual(present(await sessions.load(token)).data, { n: 1 })
      assert.deepEqual(present(await sessions.update(token, () => ({ n: 4 }))).data, { n: 4 })
    })

    contract.test('a change may use the same session without waiting for itself', async (store) => {
      const sessions = await store.connect<{ n: number }>()
      const { token } = await sessions.create({ n: 1 })
      const updated = await sessions.update(token, async (data) => {
        await sessions.touch(token)
        data.n = present(await sessions.load(token)).data.n + 1
      })
      assert.equal(present(updated).data.n, 2)
    })

    contract.test(
      'a change may update the same session, and runs again on what that has made of it',
      async (store) => {
        const sessions = await store.connect<{ outer: number; inner: number }>()
        const { token } = await sessions.create({ outer: 0, inner: 0 })
        let runs = 0
        const updated = await sessions.update(token, async (data) => {
          if (runs++ === 0) await sessions.update(token, (inner) => ({ ...inner, inner: 1 }))
          data.outer++
        })
        assert.deepEqual(present(updated).data, { outer: 1, inner: 1 })
        assert.equal(runs, 2)
      }
    )

    contract.test('calls on one session take effect in the order in which they were made', async (store) => {
      const sessions = await store.connect<Record<string, unknown>>()
      for (let round = 0; round < 20; round++) {
        const { token } = await sessions.create({ n: 0 })
        const steps = [
          sessions.load(token),
          sessions.save(token, { n: 1 }),
          sessions.load(token),
          sessions.update(token, async (data) => {
            await new Promise((resolve) => setImmediate(resolve))
            data['n'] = 2
          }),
          sessions.load(token),
          sessions.save(token, { n: 3 }),
          sessions.load(token),
          sessions.destroy(token),
          sessions.load(token),
          sessions.save(token, { n: 4 })
        ] as const
        const [first, , second, , third, , fourth, destroyed, fifth, saved] = await Promise.all(steps)
        assert.deepEqual(
          [first, second, third, fourth].map((session) => present(session).data['n']),
          [0, 1, 2, 3]
        )
        assert.equal(destroyed, true)
        assert.equal(fifth, undefined)
        assert.equal(saved, false)
      }
    })

    contract.test('data is captured when the call is made', async (store) => {
      const sessions = await store.connect<{ list: number[] }>()
      const data = { list: [1] }
      const creating = sessions.create(data)
      data.list.push(2)
      const { token } = await creating
      assert.deepEqual(present(await sessions.load(token)).data, { list: [1] })
      const saving = sessions.save(token, data)
      data.list.push(3)
      await saving
      assert.deepEqual(present(await sessions.load(token)).data, { list: [1, 2] })
    })

    contract.test('data handed out is never shared between two callers', async (store) => {
      const sessions = await store.connect<{ list: number[] }>()
      const given = { list: [1] }
      const created = await sessions.create(given)
      created.data.list.push(99)
      given.list.push(98)
      const [one, two] = await Promise.all([sessions.load(created.token), sessions.load(created.token)])
      present(one).data.list.push(97)
      assert.deepEqual(present(two).data, { list: [1] })
      assert.deepEqual(present(await sessions.load(created.token)).data, { list: [1] })
      const updated = present(await sessions.update(created.token, (data) => data))
      updated.data.list.push(96)
      assert.deepEqual(present(await sessions.load(created.token)).data, { list: [1] })
    })

    contract.testNodes('of two rotations at once one wins and the other gets undefined', async (store) => {
      const here = await store.connect()
      const there = await store.connect()
      for (let round = 0; round < 20; round++) {
        const { token } = await here.create({ user_id: 'ada' })
        const results = await Promise.all([here.rotate(token), there.rotate(token), here.rotate(token)])
        const winners = results.filter((session) => session !== undefined)
        assert.equal(winners.length, 1)
        assert.ok(await there.load(present(winners[0]).token))
        assert.equal(await there.countSessions(), round + 1)
      }
    })

    contract.testNodes('of two destroys at once one answers true', async (store) => {
      const here = await store.connect()
      const there = await store.connect()
      for (let round = 0; round < 20; round++) {
        const { token } = await here.create({})
        const answers = await Promise.all([here.destroy(token), there.destroy(token), there.destroy(token)])
        assert.equal(answers.filter(Boolean).length, 1)
      }
    })

    contract.testNodes(
      'of two nodes that put under one new token neither fails, and one session is there',
      async (store) => {
        const here = await store.connect()
        const there = await store.connect()
        for (let round = 0; round < 20; round++) {
          const token = `token-${round}`
          const put = (n: number) => (n % 2 === 0 ? here : there).put(token, { n }, { ifMissing: 'insert' })
          assert.deepEqual(await Promise.all([0, 1, 2, 3].map(put)), ['stored', 'stored', 'stored', 'stored'])
          assert.equal(await here.countSessions(), round + 1)
        }
      }
    )

    contract.testNodes(
      'many sessions, many operations, two nodes: every acknowledged save is seen',
      async (store) => {
        const nodes = [await store.connect<{ n: number }>(), await store.connect<{ n: number }>()] as const
        const created = await Promise.all(Array.from({ length: 50 }, (_, n) => nodes[0].create({ n })))
        await Promise.all(
          created.map(async ({ token }, index) => {
            for (let turn = 0; turn < 10; turn++) {
              const node = turn % 2 === 0 ? nodes[0] : nodes[1]
              const other = turn % 2 === 0 ? nodes[1] : nodes[0]
              assert.equal(await node.save(token, { n: index * 100 + turn }), true)
              assert.equal(present(await other.load(token)).data.n, index * 100 + turn)
            }
          })
        )
      }
    )
  })
}
