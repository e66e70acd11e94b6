import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createFolder, createStore, entryOf, idOf, startProgram } from './fixtures.ts'

test('calls on one session take effect in their order, reads among them', async () => {
  const store = createStore({ path: join(await createFolder(), 'sessions.sqlite') })
  const id = idOf('a')
  const answers = await Promise.all([
    store.read(id),
    store.insert(id, entryOf({ n: 1 })),
    store.read(id),
    store.put(id, entryOf({ n: 2 }, 'ann'), 'refuse'),
    store.countByUser('ann'),
    store.end(id),
    store.put(id, entryOf({ n: 3 }), 'insert'),
    store.touch(id),
    store.read(id),
    store.count()
  ])
  expect(answers).toMatchObject([
    undefined,
    { version: 1 },
    { value: '{"n":1}' },
    { outcome: 'stored', version: 2 },
    1,
    true,
    { outcome: 'ended' },
    undefined,
    undefined,
    0
  ])
})

test('calls made before the file is open keep their order with those made after', async () => {
  const store = createStore({ path: join(await createFolder(), 'sessions.sqlite') })
  const id = idOf('a')
  const later = store.ready().then(() => store.put(id, entryOf({ n: 2 }), 'insert'))
  await store.insert(id, entryOf({ n: 1 }))
  await later
  expect((await store.read(id))?.value).toBe('{"n":2}')
})

test('a read of another session does not wait for the writes', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  const store = createStore({ path })
  await store.insert(idOf('a'), entryOf())
  const order: string[] = []
  await Promise.all([
    store.insert(idOf('b'), entryOf()).then(() => order.push('write of b')),
    store.read(idOf('a')).then(() => order.push('read of a'))
  ])
  expect(order).toEqual(['read of a', 'write of b'])
})

test('who is answered has been committed: another connection sees it', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  const store = createStore({ path })
  const other = createStore({ path })
  await other.ready()
  const seen = await Promise.all(
    Array.from({ length: 300 }, async (_, n) => {
      await store.insert(idOf(`${n}`), entryOf({ n }))
      return (await other.read(idOf(`${n}`)))?.value
    })
  )
  expect(seen).toEqual(Array.from({ length: 300 }, (_, n) => JSON.stringify({ n })))
})

test('an entry that the database refuses fails alone among a thousand', async () => {
  const store = createStore({ path: join(await createFolder(), 'sessions.sqlite') })
  await store.query(`
    create trigger poison before insert on bodhi_sessions when new.value like '%poison%'
    begin select raise(abort, 'refused'); end`)
  const outcomes = await Promise.allSettled(
    Array.from({ length: 1_000 }, (_, n) =>
      store.insert(idOf(`${n}`), entryOf({ text: n === 500 ? 'poison' : '' }))
    )
  )
  const failed = outcomes.flatMap((outcome, n) =>
    outcome.status === 'rejected' ? [[n, outcome.reason.code]] : []
  )
  expect(failed).toEqual([[500, 'SESSION_BACKEND']])
  expect(await store.count()).toBe(999)
})

test('a rotation that fails halfway leaves the session as it was, and its neighbours too', async () => {
  const store = createStore({ path: join(await createFolder(), 'sessions.sqlite') })
  await store.insert(idOf('a'), entryOf({ n: 1 }, 'ann'))
  await store.query(`
    create trigger no_tombstones before insert on bodhi_sessions when new.value is null
    begin select raise(abort, 'refused'); end`)
  const [before, rotation, after] = await Promise.allSettled([
    store.insert(idOf('b'), entryOf()),
    store.rotate(idOf('a'), idOf('a2'), entryOf({ n: 2 }, 'ann')),
    store.insert(idOf('c'), entryOf())
  ])
  expect([before.status, rotation.status, after.status]).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(await store.read(idOf('a'))).toMatchObject({ value: '{"n":1}', version: 1 })
  expect(await store.read(idOf('a2'))).toBeUndefined()
  expect(await store.count()).toBe(3)
})

test('where the transaction itself is lost, everybody in it is told, and nobody else', async () => {
  const store = createStore({ path: join(await createFolder(), 'sessions.sqlite') })
  await store.query(`
    create trigger undo before insert on bodhi_sessions when new.value like '%undo%'
    begin select raise(rollback, 'undone'); end`)
  const outcomes = await Promise.allSettled([
    store.insert(idOf('a'), entryOf()),
    store.insert(idOf('b'), entryOf({ text: 'undo' })),
    store.insert(idOf('c'), entryOf())
  ])
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled'])
  expect(await store.count()).toBe(1)
})

test('a flood of writes is cut off with a clear error in bounded memory, and the rest is served', async () => {
  const store = createStore({ path: join(await createFolder(), 'sessions.sqlite') })
  await store.ready()
  const outcomes = await Promise.allSettled(
    Array.from({ length: 100_000 }, (_, n) => store.put(idOf(`${n % 1_000}`), entryOf(), 'insert'))
  )
  const stored = outcomes.filter(({ status }) => status === 'fulfilled')
  const refused = outcomes.find(({ status }) => status === 'rejected')
  expect(stored).toHaveLength(10_000)
  expect(refused).toMatchObject({
    reason: { code: 'SESSION_BACKEND_UNAVAILABLE', message: expect.stringContaining('queue is full') }
  })
  expect(await store.count()).toBe(1_000)
})

test('a flood of large writes is bounded by its size', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  const store = createStore({ path, busyTimeoutMs: 60_000 })
  await store.ready()
  const holder = startProgram('hold-lock', path)
  expect(await holder.nextLine()).toBe('locked')
  const large = entryOf({ text: 'x'.repeat(1_000_000) })
  const writes = Array.from({ length: 100 }, (_, n) => store.put(idOf(`${n}`), large, 'insert'))
  const outcomes = Promise.allSettled(writes)
  await expect(writes[99]).rejects.toMatchObject({ code: 'SESSION_BACKEND_UNAVAILABLE' })
  holder.child.stdin?.write('\n')
  const stored = (await outcomes).filter(({ status }) => status === 'fulfilled')
  expect(stored).toHaveLength(67)
})

test('disconnect answers what was called before it, and refuses what comes after', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  const store = createStore({ path })
  const writes = Array.from({ length: 2_000 }, (_, n) => store.insert(idOf(`${n}`), entryOf()))
  const cleared = store.endAll()
  const closed = store.disconnect()
  const closedError = { code: 'SESSION_CLOSED' }
  await expect(store.read(idOf('1'))).rejects.toMatchObject(closedError)
  await expect(store.insert(idOf('x'), entryOf())).rejects.toMatchObject(closedError)
  await expect(store.scan().next()).rejects.toMatchObject(closedError)
  await expect(store.ready()).rejects.toMatchObject(closedError)
  await expect(store.query('select 1')).rejects.toMatchObject(closedError)
  await closed
  expect((await Promise.all(writes)).every((times) => times?.version === 1)).toBe(true)
  expect(await cleared).toBe(2_000)
  await store.disconnect()
})

test('a store that is closed before it was opened creates no file', async () => {
  const store = createStore({ path: '/nonexistent/sessions.sqlite' })
  await store.disconnect()
  await expect(store.read(idOf('a'))).rejects.toMatchObject({ code: 'SESSION_CLOSED' })
})

test('query() refuses to begin or end the transaction it runs in', async () => {
  const store = createStore()
  await expect(store.query('commit')).rejects.toMatchObject({ code: 'SESSION_CONFIGURATION' })
  expect(await store.query('select ? as n', 7)).toEqual([{ n: 7 }])
})
