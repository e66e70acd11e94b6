import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import {
  Batcher,
  type BatcherOptions,
  type BatchKind,
  type Remedy
} from '../../../src/backends/postgres/batching.ts'

class Refused extends Error {}

function newBatcher(options: Partial<BatcherOptions> = {}): Batcher {
  return new Batcher({
    read: { lanes: 1, worthwhile: 1 },
    write: { lanes: 1, worthwhile: 1 },
    extraLanes: 0,
    maxRows: 100,
    maxBytes: 1_000,
    maxQueued: 1_000,
    maxQueuedBytes: 10_000,
    maxWaitMs: 60_000,
    remedyFor: () => 'fail',
    refuse: (why) => new Refused(why),
    ...options
  })
}

/** A store whose batches stay open until the test lets them end. */
function gatedKind(
  access: 'read' | 'write' = 'write',
  overrides: Partial<BatchKind<string, string>> = {}
): {
  kind: BatchKind<string, string>
  batches: string[][]
  release(error?: unknown): Promise<void>
} {
  const batches: string[][] = []
  const gates: Array<PromiseWithResolvers<void>> = []
  return {
    batches,
    kind: {
      access,
      sharesAnswers: false,
      async run(inputs) {
        batches.push([...inputs])
        const gate = Promise.withResolvers<void>()
        gates.push(gate)
        await gate.promise
        return inputs.map((input) => `${input}!`)
      },
      ...overrides
    },
    async release(error) {
      const gate = gates.shift()
      if (error === undefined) gate?.resolve()
      else gate?.reject(error)
      await turn()
      await turn()
    }
  }
}

const submit = (batcher: Batcher, kind: BatchKind<string, string>, input: string, key = input, bytes = 1) =>
  batcher.submit(kind, [key], input, bytes)

test('a call leaves at once while a lane is free, and those that gather leave together', async () => {
  const batcher = newBatcher()
  const store = gatedKind()
  const answers = Promise.all(['a', 'b', 'c'].map((input) => submit(batcher, store.kind, input)))
  expect(store.batches).toEqual([['a']])
  await store.release()
  expect(store.batches).toEqual([['a'], ['b', 'c']])
  await store.release()
  expect(await answers).toEqual(['a!', 'b!', 'c!'])
})

test('callers that call again at their answer leave together again', async () => {
  const batcher = newBatcher()
  const store = gatedKind()
  const caller = async (name: string) => {
    await submit(batcher, store.kind, `${name}1`)
    return submit(batcher, store.kind, `${name}2`)
  }
  const answers = Promise.all([submit(batcher, store.kind, 'first'), caller('a'), caller('b'), caller('c')])
  await store.release()
  await store.release()
  expect(store.batches).toEqual([['first'], ['a1', 'b1', 'c1'], ['a2', 'b2', 'c2']])
  await store.release()
  await answers
})

test('beside one call another leaves at once, but beside a batch only what is worth one', async () => {
  const batcher = newBatcher({ write: { lanes: 2, worthwhile: 4 } })
  const store = gatedKind()
  const answers = ['a', 'b', 'c', 'd', 'e'].map((input) => submit(batcher, store.kind, input))
  expect(store.batches).toEqual([['a'], ['b']])
  await store.release()
  expect(store.batches.slice(2)).toEqual([['c', 'd', 'e']])
  await store.release() // b: a lane is free beside the batch of three
  answers.push(submit(batcher, store.kind, 'f'))
  expect(store.batches).toHaveLength(3)
  answers.push(submit(batcher, store.kind, 'g'))
  expect(store.batches.slice(3)).toEqual([['f', 'g']])
  await store.release()
  await store.release()
  await Promise.all(answers)
})

test('more calls than are worth a batch are divided among the free lanes', async () => {
  const batcher = newBatcher({ write: { lanes: 2, worthwhile: 2 } })
  const store = gatedKind()
  const [first, second] = ['first', 'second'].map((input) => submit(batcher, store.kind, input))
  const answers = Array.from({ length: 10 }, (_, n) => submit(batcher, store.kind, `${n}`))
  await Promise.all([store.release(), store.release(), first, second])
  expect(store.batches.slice(2).map((batch) => batch.length)).toEqual([5, 5])
  await store.release()
  await store.release()
  await Promise.all(answers)
})

test('callers that take a turn of the event loop to call again still leave together', async () => {
  const batcher = newBatcher({ write: { lanes: 2, worthwhile: 8 } })
  const store = gatedKind()
  const caller = async (name: string) => {
    await submit(batcher, store.kind, `${name}1`)
    await turn()
    return submit(batcher, store.kind, `${name}2`)
  }
  const answers = Promise.all([
    submit(batcher, store.kind, 'x'),
    submit(batcher, store.kind, 'y'),
    caller('a'),
    caller('b'),
    caller('c')
  ])
  await store.release()
  await store.release()
  expect(store.batches.slice(2)).toEqual([['a1', 'b1', 'c1']])
  await store.release()
  await turn()
  expect(store.batches.slice(3)).toEqual([['a2', 'b2', 'c2']])
  await store.release()
  await answers
})

test('readers and writers have lanes of their own', async () => {
  const batcher = newBatcher()
  const reads = gatedKind('read')
  const writes = gatedKind('write')
  const answers = Promise.all([submit(batcher, reads.kind, 'r'), submit(batcher, writes.kind, 'w')])
  expect([reads.batches, writes.batches]).toEqual([[['r']], [['w']]])
  await reads.release()
  await writes.release()
  await answers
})

test('calls with a key in common are sent one after the other, in the order of the calls', async () => {
  const batcher = newBatcher({ read: { lanes: 4, worthwhile: 2 }, write: { lanes: 4, worthwhile: 2 } })
  const reads = gatedKind('read')
  const writes = gatedKind('write')
  const answers = Promise.all([
    submit(batcher, reads.kind, 'read 1', 'k'),
    submit(batcher, writes.kind, 'write 1', 'k'),
    submit(batcher, writes.kind, 'write 2', 'k'),
    submit(batcher, reads.kind, 'read 2', 'k'),
    submit(batcher, reads.kind, 'read 3', 'k')
  ])
  expect([reads.batches, writes.batches]).toEqual([[['read 1']], []])
  await reads.release()
  expect(writes.batches).toEqual([['write 1']])
  await writes.release()
  expect(writes.batches).toEqual([['write 1'], ['write 2']])
  expect(reads.batches).toHaveLength(1)
  await writes.release()
  expect(reads.batches).toEqual([['read 1'], ['read 2', 'read 3']])
  await reads.release()
  await answers
})

test('a reader waits for the one writer before it', async () => {
  const batcher = newBatcher()
  const reads = gatedKind('read')
  const writes = gatedKind('write')
  const answers = Promise.all([submit(batcher, writes.kind, 'w', 'k'), submit(batcher, reads.kind, 'r', 'k')])
  expect([writes.batches, reads.batches]).toEqual([[['w']], []])
  await writes.release()
  expect(reads.batches).toEqual([['r']])
  await reads.release()
  await answers
})

test('a call on two keys waits for both, and holds up both', async () => {
  const batcher = newBatcher({ write: { lanes: 4, worthwhile: 1 } })
  const store = gatedKind()
  const answers = Promise.all([
    submit(batcher, store.kind, 'on a', 'a'),
    batcher.submit(store.kind, ['a', 'b'], 'on both', 1),
    submit(batcher, store.kind, 'on b', 'b')
  ])
  expect(store.batches).toEqual([['on a']])
  await store.release()
  expect(store.batches).toEqual([['on a'], ['on both']])
  await store.release()
  expect(store.batches).toEqual([['on a'], ['on both'], ['on b']])
  await store.release()
  await answers
})

test('calls of a kind that shares answers share one while they wait, but never one that is under way', async () => {
  const batcher = newBatcher()
  const store = gatedKind('read', { sharesAnswers: true })
  const answers = Promise.all(['k', 'k', 'k'].map((key) => submit(batcher, store.kind, key)))
  expect(store.batches).toEqual([['k']])
  await store.release()
  expect(store.batches).toEqual([['k'], ['k']])
  await store.release()
  expect(await answers).toEqual(['k!', 'k!', 'k!'])
})

test('a batch stays within the limits of rows and bytes, and a large call goes by itself', async () => {
  const batcher = newBatcher({ maxRows: 2, maxBytes: 100 })
  const store = gatedKind()
  const sizes = [1, 1, 1, 1, 500, 60, 60]
  const answers = Promise.all(sizes.map((bytes, i) => submit(batcher, store.kind, `${i}`, `${i}`, bytes)))
  for (let i = 0; i < 6; i++) await store.release()
  expect(store.batches).toEqual([['0'], ['1', '2'], ['3'], ['4'], ['5'], ['6']])
  await answers
})

test('one bad call fails alone: the batch is halved until it is found', async () => {
  const bad = new Error('bad value')
  const batcher = newBatcher({ maxRows: 1_000, remedyFor: () => 'split' })
  let statements = 0
  const kind: BatchKind<string, string> = {
    access: 'write',
    sharesAnswers: false,
    async run(inputs) {
      statements++
      if (inputs.includes('617')) throw bad
      return inputs
    }
  }
  const answers = await Promise.allSettled(
    Array.from({ length: 1_000 }, (_, i) => submit(batcher, kind, `${i}`))
  )
  const failed = answers.flatMap((answer, i) => (answer.status === 'rejected' ? [[i, answer.reason]] : []))
  expect(failed).toEqual([[617, bad]])
  expect(statements).toBeLessThan(30)
})

test('a batch that lost a deadlock is tried again as it is', async () => {
  let failures = 2
  const batcher = newBatcher({ remedyFor: () => 'retry' })
  const kind: BatchKind<string, string> = {
    access: 'write',
    sharesAnswers: false,
    async run(inputs) {
      if (failures-- > 0) throw new Error('deadlock')
      return inputs
    }
  }
  expect(await submit(batcher, kind, 'a')).toBe('a')
})

test('calls whose batch was blocked go by themselves, and only the blocked one fails', async () => {
  const batcher = newBatcher({ remedyFor: () => 'separate' })
  const store = gatedKind()
  const blocked = new Error('lock timeout')
  const kind: BatchKind<string, string> = {
    ...store.kind,
    run: async (inputs) => {
      if (inputs.includes('c')) throw blocked
      return inputs
    }
  }
  const first = submit(batcher, store.kind, 'first')
  const answers = Promise.allSettled(['a', 'b', 'c', 'd'].map((input) => submit(batcher, kind, input)))
  await store.release()
  await first
  expect(await answers).toEqual([
    { status: 'fulfilled', value: 'a' },
    { status: 'fulfilled', value: 'b' },
    { status: 'rejected', reason: blocked },
    { status: 'fulfilled', value: 'd' }
  ])
})

test('a lost connection is not tried again call by call', async () => {
  const batcher = newBatcher()
  const store = gatedKind()
  const lost = new Error('connection lost')
  const answers = Promise.allSettled(['a', 'b', 'c'].map((input) => submit(batcher, store.kind, input)))
  await store.release()
  await store.release(lost)
  expect(await answers).toEqual([
    { status: 'fulfilled', value: 'a!' },
    { status: 'rejected', reason: lost },
    { status: 'rejected', reason: lost }
  ])
  expect(store.batches).toHaveLength(2)
})

test.each<[Remedy]>([['retry'], ['split'], ['separate'], ['fail']])(
  'with the remedy %s every caller is answered exactly once, and the batcher drains',
  async (remedy) => {
    const batcher = newBatcher({
      read: { lanes: 2, worthwhile: 2 },
      write: { lanes: 2, worthwhile: 2 },
      extraLanes: 2,
      remedyFor: () => remedy
    })
    let seed = 1
    const random = () => {
      seed = (seed * 48_271) % 2_147_483_647
      return seed / 2_147_483_647
    }
    const kind = (access: 'read' | 'write'): BatchKind<string, string> => ({
      access,
      sharesAnswers: access === 'read',
      async run(inputs) {
        await turn()
        if (random() < 0.1) throw new Error('now and then')
        return inputs
      }
    })
    const kinds = [kind('read'), kind('write'), kind('write')]
    const answers: Array<Promise<unknown>> = []
    for (let i = 0; i < 900; i++) {
      const kindOfCall = kinds[i % 3]
      const message = (error: Error) => error.message
      if (kindOfCall) answers.push(submit(batcher, kindOfCall, `${i % 20}`).catch(message))
      if (i % 100 === 0) await turn()
    }
    const settled = await Promise.all(answers)
    await batcher.drained()
    settled.forEach((answer, i) => {
      expect([`${i % 20}`, 'now and then']).toContain(answer)
    })
  }
)

test('more than maxQueued calls are refused at once, and those that wait are answered', async () => {
  const batcher = newBatcher({ maxQueued: 2 })
  const store = gatedKind()
  const answers = Promise.allSettled(['a', 'b', 'c', 'd'].map((input) => submit(batcher, store.kind, input)))
  await expect(submit(batcher, store.kind, 'e')).rejects.toThrow(Refused)
  await store.release()
  await store.release()
  expect((await answers).map(({ status }) => status)).toEqual([
    'fulfilled',
    'fulfilled',
    'fulfilled',
    'rejected'
  ])
})

test('the bytes that wait are limited too', async () => {
  const batcher = newBatcher({ maxQueuedBytes: 100 })
  const store = gatedKind()
  const answers = Promise.all(['a', 'b'].map((input) => submit(batcher, store.kind, input, input, 80)))
  await expect(submit(batcher, store.kind, 'c', 'c', 80)).rejects.toThrow(Refused)
  await store.release()
  await store.release()
  await answers
})

test('a call that waits too long is given up, and those behind it are let in', async () => {
  const batcher = newBatcher({ maxWaitMs: 20 })
  const reads = gatedKind('read')
  const writes = gatedKind('write')
  const stuck = submit(batcher, writes.kind, 'stuck', 'other')
  const tooLate = submit(batcher, writes.kind, 'too late', 'k')
  await expect(tooLate).rejects.toThrow(Refused)
  const read = submit(batcher, reads.kind, 'behind it', 'k')
  await reads.release()
  expect(await read).toBe('behind it!')
  await writes.release()
  expect(await stuck).toBe('stuck!')
  expect(writes.batches).toEqual([['stuck']])
})

test('while a batch is slow another lane opens', async () => {
  const batcher = newBatcher({ extraLanes: 1 })
  const store = gatedKind()
  const slow = submit(batcher, store.kind, 'slow')
  const other = submit(batcher, store.kind, 'other')
  while (store.batches.length < 2) await turn()
  await store.release()
  await store.release()
  expect(await Promise.all([slow, other])).toEqual(['slow!', 'other!'])
})

test('drained() waits for what waits', async () => {
  const batcher = newBatcher()
  const store = gatedKind()
  const order: string[] = []
  void submit(batcher, store.kind, 'a').then(() => order.push('a'))
  void submit(batcher, store.kind, 'b').then(() => order.push('b'))
  const drained = batcher.drained().then(() => order.push('drained'))
  await store.release()
  await store.release()
  await drained
  expect(order).toEqual(['a', 'b', 'drained'])
})
