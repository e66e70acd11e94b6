import { once } from 'node:events'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { createFolder, createStore, entryOf, idOf, startProgram } from './fixtures.ts'

test.each([2, 4])('%i processes that write one file at once lose nothing and see no error', async (count) => {
  const path = join(await createFolder(), 'sessions.sqlite')
  const rounds = 60
  const store = createStore({ path })
  await store.insert(idOf('counter 0'), entryOf({ n: 0 }))
  await store.insert(idOf('counter 1'), entryOf({ n: 0 }))

  const programs = Array.from({ length: count }, (_, n) =>
    startProgram('increment', path, `writer ${n}`, String(rounds))
  )
  expect(await Promise.all(programs.map(({ ended }) => ended))).toEqual(Array(count).fill(0))

  for (const counter of ['counter 0', 'counter 1']) {
    expect((await store.read(idOf(counter)))?.value).toBe(JSON.stringify({ n: count * rounds }))
  }
  expect(await store.count()).toBe(2 + count * rounds)
  expect(await store.countByUser('writer 0')).toBe(rounds)
})

test('processes that open a file that is not there yet all succeed', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  const programs = Array.from({ length: 6 }, () => startProgram('write-and-close', path, '--little'))
  expect(await Promise.all(programs.map(({ ended }) => ended))).toEqual(Array(6).fill(0))
})

test('stores of one process that open a file that is not there yet all succeed', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  await Promise.all(Array.from({ length: 12 }, () => createStore({ path }).ready()))
})

test('a lock that another process keeps for too long is an error, and the event loop runs meanwhile', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  const store = createStore({ path, busyTimeoutMs: 300 })
  await store.insert(idOf('a'), entryOf({ n: 1 }))
  const holder = startProgram('hold-lock', path)
  expect(await holder.nextLine()).toBe('locked')

  let heartbeats = 0
  const heart = setInterval(() => heartbeats++, 10)
  const write = store.put(idOf('a'), entryOf({ n: 2 }), 'insert')
  const prune = store.prune().catch((error: unknown) => error)
  const read = store.read(idOf('b'))
  await expect(write).rejects.toMatchObject({
    code: 'SESSION_BACKEND_UNAVAILABLE',
    retryable: true,
    status: 503
  })
  clearInterval(heart)
  expect(heartbeats).toBeGreaterThan(3)
  expect(await prune).toMatchObject({ code: 'SESSION_BACKEND_UNAVAILABLE' })
  // A write-ahead log lets readers pass.
  expect(await read).toBeUndefined()
  expect((await store.read(idOf('a')))?.value).toBe('{"n":1}')

  holder.child.stdin?.write('\n')
  await holder.ended
  expect(await store.put(idOf('a'), entryOf({ n: 2 }), 'insert')).toMatchObject({
    outcome: 'stored',
    version: 2
  })
})

test('writes wait for a lock that is released in time', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  const store = createStore({ path, busyTimeoutMs: 60_000 })
  await store.ready()
  const holder = startProgram('hold-lock', path)
  expect(await holder.nextLine()).toBe('locked')
  const writes = [
    store.insert(idOf('a'), entryOf({ n: 1 })),
    store.put(idOf('a'), entryOf({ n: 2 }), 'refuse'),
    store.read(idOf('a'))
  ]
  await new Promise(setImmediate)
  holder.child.stdin?.write('\n')
  await expect(Promise.all(writes)).resolves.toMatchObject([
    { version: 1 },
    { outcome: 'stored', version: 2 },
    { value: '{"n":2}' }
  ])
})

test('a file that another process has locked while it is opened is an error that can be tried again', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  new DatabaseSync(path).close()
  const holder = startProgram('hold-lock', path)
  expect(await holder.nextLine()).toBe('locked')
  const store = createStore({ path, busyTimeoutMs: 100 })
  await expect(store.ready()).rejects.toMatchObject({ code: 'SESSION_BACKEND_UNAVAILABLE' })
  holder.child.stdin?.write('\n')
  await holder.ended
  await store.ready()
  expect(await store.count()).toBe(0)
})

test('what was acknowledged is there after the process was killed in the middle of its writes', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  const program = startProgram('write-until-killed', path)
  const acknowledged: string[] = []
  while (acknowledged.length < 400) {
    const line = await program.nextLine()
    if (line === undefined) throw new Error('The program ended by itself.')
    acknowledged.push(line)
  }
  program.child.kill('SIGKILL')
  await once(program.child, 'close')

  const store = createStore({ path })
  for (const name of acknowledged) {
    if (name.startsWith('kept')) expect(await store.read(idOf(name)), name).toBeDefined()
    else expect(await store.put(idOf(name), entryOf(), 'insert'), name).toEqual({ outcome: 'ended' })
  }
  expect(await store.query('select integrity_check from pragma_integrity_check')).toEqual([
    { integrity_check: 'ok' }
  ])
})

test.each([['--little'], ['--much'], ['--unclosed']])(
  'a process exits by itself when its work is done (%s)',
  async (amount) => {
    const path = join(await createFolder(), 'sessions.sqlite')
    const program = startProgram('write-and-close', path, amount)
    expect(await program.nextLine()).toBe('done')
    expect(await program.ended).toBe(0)
  }
)
