import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { createFolder, createStore, entryOf, idOf, startProgramWith } from './fixtures.ts'

const MIB = 1024 * 1024

test('the log stays bounded while a store is written without a pause', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  const store = createStore({ path })
  const large = entryOf({ text: 'x'.repeat(100_000) })
  let largest = 0
  // 400 MB by 16 callers who leave no gap between their writes.
  await Promise.all(
    Array.from({ length: 16 }, async (_, caller) => {
      for (let round = 0; round < 250; round++) {
        await store.put(idOf(`${caller} ${round % 50}`), large, 'insert')
        largest = Math.max(largest, (await stat(`${path}-wal`)).size)
      }
    })
  )
  expect(largest).toBeGreaterThan(0)
  expect(largest).toBeLessThan(96 * MIB)
})

test('a reader that keeps the log from being emptied stops nobody from writing', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  const store = createStore({ path })
  await store.insert(idOf('a'), entryOf())
  const reader = new DatabaseSync(path)
  onTestFinished(() => reader.close())
  reader.exec('begin')
  reader.prepare('select count(*) from bodhi_sessions').get()
  const large = entryOf({ text: 'x'.repeat(500_000) })
  for (let round = 0; round < 250; round++) await store.put(idOf('a'), large, 'insert')
  expect((await store.read(idOf('a')))?.version).toBe(251)
  reader.exec('commit')
})

test('disconnect writes the log back and leaves one file', async () => {
  const folder = await createFolder()
  const store = createStore({ path: join(folder, 'sessions.sqlite') })
  await store.insert(idOf('a'), entryOf())
  expect(await readdir(folder)).toContain('sessions.sqlite-wal')
  await store.disconnect()
  expect(await readdir(folder)).toEqual(['sessions.sqlite'])
})

test('where threads are forbidden, the store does without', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  const program = startProgramWith(
    ['--permission', '--allow-fs-read=*', '--allow-fs-write=*'],
    'write-and-measure',
    path
  )
  expect(await program.nextLine()).toMatch(/^closed after a log of at most 1?\d MiB$/)
  expect(await program.ended).toBe(0)
})

test('what an ended session held cannot be read from the file', async () => {
  const folder = await createFolder()
  const path = join(folder, 'sessions.sqlite')
  const store = createStore({ path })
  await store.insert(idOf('a'), entryOf({ secret: 'open sesame' }, 'a user with a name'))
  await store.insert(idOf('b'), entryOf({ other: 'still here' }))
  await store.end(idOf('a'))
  await store.disconnect()
  const content = (await readFile(path)).toString('latin1')
  expect(content).toContain('still here')
  expect(content).not.toContain('open sesame')
  expect(content).not.toContain('a user with a name')
})
