import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createFolder, createStore, entryOf, HOUR, idOf, policy } from './fixtures.ts'

function createClock() {
  return { now: 1_800_000_000_000 }
}

test('pruning leaves a session that is in use, and removes it when it has run out', async () => {
  const clock = createClock()
  const store = createStore({ now: () => clock.now })
  await store.insert(idOf('used'), entryOf())
  await store.insert(idOf('idle'), entryOf())
  for (let day = 0; day < 3; day++) {
    clock.now += 20 * HOUR
    await store.touch(idOf('used'))
    expect(await store.prune()).toBe(day === 1 ? 1 : 0)
    expect(await store.read(idOf('used'))).toBeDefined()
  }
  clock.now += 24 * HOUR
  expect(await store.prune()).toBe(1)
  expect(await store.query('select * from bodhi_sessions')).toEqual([])
})

test('a session that gets a shorter life is pruned in time, whichever call shortened it', async () => {
  const clock = createClock()
  const store = createStore({ now: () => clock.now })
  const ids = ['touch', 'put', 'rotate', 'end'].map(idOf)
  for (const id of ids) await store.insert(id, { ...entryOf(), idleTimeoutMs: 20 * 24 * HOUR })
  const short = { ...entryOf(), idleTimeoutMs: 1_000 }
  await store.touch(idOf('touch'), 1_000)
  await store.put(idOf('put'), short, 'refuse')
  await store.rotate(idOf('rotate'), idOf('rotated'), short)
  await store.end(idOf('end'))
  clock.now += 1_000
  expect(await store.prune()).toBe(3)
  clock.now += 24 * HOUR
  expect(await store.prune()).toBe(0)
  expect(await store.query('select * from bodhi_sessions')).toEqual([])
})

test('pruning touches no other namespace', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  const clock = createClock()
  const one = createStore({ path, now: () => clock.now })
  const two = createStore({ path, now: () => clock.now }, { namespace: 'other' })
  await one.insert(idOf('a'), entryOf())
  await two.insert(idOf('a'), entryOf())
  clock.now += 24 * HOUR
  expect(await one.prune()).toBe(1)
  expect(await two.prune()).toBe(1)
})

test('pruning thousands of rows lets other events have their turn', async () => {
  const clock = createClock()
  const store = createStore({ now: () => clock.now })
  for (let n = 0; n < 4_000; n += 1_000) {
    await Promise.all(Array.from({ length: 1_000 }, (_, m) => store.insert(idOf(`${n + m}`), entryOf())))
  }
  clock.now += 24 * HOUR
  let turns = 0
  let beating = true
  const beat = () => {
    turns++
    if (beating) setImmediate(beat)
  }
  setImmediate(beat)
  expect(await store.prune()).toBe(4_000)
  beating = false
  expect(turns).toBeGreaterThan(4)
})

test('no session that was live when endAll began slips through by rotating meanwhile', async () => {
  const store = createStore({ path: join(await createFolder(), 'sessions.sqlite') })
  const count = 3_000
  for (let n = 0; n < count; n += 1_000) {
    await Promise.all(
      Array.from({ length: 1_000 }, (_, m) => store.insert(idOf(`${n + m}`), entryOf({}, 'ann')))
    )
  }
  let ending = true
  const live = Array.from({ length: count }, (_, n) => `${n}`)
  const rotating = (async () => {
    for (let round = 0; ending; round++) {
      await Promise.all(
        [10, 1_000, 2_000, 2_999].map(async (n) => {
          const from = live[n] ?? ''
          const to = `${n} after round ${round}`
          if (await store.rotate(idOf(from), idOf(to))) live[n] = to
        })
      )
    }
  })()
  expect(await store.endAll()).toBe(count)
  ending = false
  await rotating
  expect(await store.count()).toBe(0)
  expect(await store.idsByUser('ann')).toEqual([])
})

test('revoke follows a long chain of rotations', async () => {
  const store = createStore()
  await store.insert(idOf('0'), entryOf({}, 'ann'))
  for (let n = 0; n < 300; n++) await store.rotate(idOf(`${n}`), idOf(`${n + 1}`))
  expect(await store.revoke(idOf('0'), 'bob')).toBe(false)
  expect(await store.revoke(idOf('0'), 'ann')).toBe(true)
  expect(await store.count()).toBe(0)
})

test('a clock that is set back ends nothing and breaks nothing', async () => {
  const clock = createClock()
  const store = createStore({ now: () => clock.now })
  await store.insert(idOf('a'), entryOf({}, 'ann'))
  await store.end(idOf('a'))
  await store.insert(idOf('b'), entryOf({}, 'ann'))
  clock.now -= 10 * 24 * HOUR
  expect(await store.read(idOf('b'))).toBeDefined()
  expect(await store.touch(idOf('b'))).toBeDefined()
  expect(await store.put(idOf('a'), entryOf(), 'insert')).toEqual({ outcome: 'ended' })
  expect(await store.prune()).toBe(0)
  expect(await store.rotate(idOf('b'), idOf('c'))).toBeDefined()
  expect(await store.countByUser('ann')).toBe(1)
})

test('a clock and idle timeouts with fractions are stored as whole milliseconds', async () => {
  const store = createStore({ now: () => 1_800_000_000_000.75 })
  const times = await store.insert(idOf('a'), { ...entryOf(), idleTimeoutMs: 999.5 })
  expect(times).toMatchObject({ now: 1_800_000_000_000, idleTimeoutMs: 1_000, expiresAt: 1_800_000_001_000 })
})

test('one store serves two services only if they agree', () => {
  const store = createStore()
  expect(() => store.configure({ ...policy })).not.toThrow()
  expect(() => store.configure({ ...policy, namespace: 'other' })).toThrow(
    expect.objectContaining({ code: 'SESSION_CONFIGURATION', message: expect.stringContaining('namespace') })
  )
})
