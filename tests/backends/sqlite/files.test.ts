import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { cacheKib } from '../../../src/backends/sqlite/connection.ts'
import { createFolder, createStore, entryOf, idOf, startProgram } from './fixtures.ts'

async function modeOf(path: string): Promise<string> {
  return ((await stat(path)).mode & 0o777).toString(8)
}

test('new files are readable by their owner only, under a permissive umask too', async () => {
  const former = process.umask(0)
  onTestFinished(() => {
    process.umask(former)
  })
  const path = join(await createFolder(), 'sessions.sqlite')
  const store = createStore({ path })
  await store.insert(idOf('a'), entryOf())
  for (const file of [path, `${path}-wal`, `${path}-shm`]) expect(await modeOf(file), file).toBe('600')
})

test('the mode of a file that exists is left alone', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  await writeFile(path, '')
  await chmod(path, 0o640)
  const store = createStore({ path })
  await store.insert(idOf('a'), entryOf())
  expect(await modeOf(path)).toBe('640')
})

test.each([
  'with space.sqlite',
  'a?b#c%20.sqlite',
  'sitzungen-ü-日本.sqlite',
  'quote\'".sqlite',
  'file:x.sqlite'
])('the path %s is taken as it stands', async (name) => {
  const folder = await createFolder()
  const store = createStore({ path: join(folder, name) })
  await store.insert(idOf('a'), entryOf())
  expect(await readdir(folder)).toContain(name)
})

test('a symbolic link to a file works', async () => {
  const folder = await createFolder()
  await writeFile(join(folder, 'real.sqlite'), '')
  await symlink(join(folder, 'real.sqlite'), join(folder, 'link.sqlite'))
  await createStore({ path: join(folder, 'link.sqlite') }).ready()
  expect((await stat(join(folder, 'real.sqlite'))).size).toBeGreaterThan(0)
})

test('a missing folder is named, with the cure, and not created', async () => {
  const folder = await createFolder()
  const store = createStore({ path: join(folder, 'no', 'such', 'sessions.sqlite') })
  await expect(store.ready()).rejects.toMatchObject({
    code: 'SESSION_CONFIGURATION',
    message: expect.stringContaining(`${join(folder, 'no', 'such')} of the SQLite database`)
  })
  expect(await readdir(folder)).toEqual([])
  // The store can be used once the folder is there.
  await mkdir(join(folder, 'no', 'such'), { recursive: true })
  await store.ready()
})

test('a path below a file says so', async () => {
  const folder = await createFolder()
  await writeFile(join(folder, 'file'), 'text')
  const store = createStore({ path: join(folder, 'file', 'sessions.sqlite') })
  await expect(store.ready()).rejects.toMatchObject({
    code: 'SESSION_CONFIGURATION',
    message: expect.stringContaining('is or lies below a file')
  })
})

test('a folder in place of a file says so', async () => {
  const folder = await createFolder()
  await expect(createStore({ path: folder }).ready()).rejects.toMatchObject({
    code: 'SESSION_CONFIGURATION',
    message: expect.stringContaining('is a folder')
  })
})

test('a link that leads nowhere, and a device, are refused', async () => {
  const folder = await createFolder()
  await symlink(join(folder, 'nowhere', 'x'), join(folder, 'link'))
  await expect(createStore({ path: join(folder, 'link') }).ready()).rejects.toMatchObject({
    code: 'SESSION_CONFIGURATION'
  })
  await expect(createStore({ path: '/dev/null' }).ready()).rejects.toMatchObject({
    code: 'SESSION_CONFIGURATION'
  })
})

test.each([
  ['a text file', Buffer.from('not a database\n'.repeat(500))],
  ['a truncated header', Buffer.from('SQLite format 3\0').subarray(0, 12)],
  ['random bytes', Buffer.alloc(8192, 0xa5)]
])('%s is refused by name, and neither recreated nor changed', async (_kind, content) => {
  const folder = await createFolder()
  const path = join(folder, 'sessions.sqlite')
  await writeFile(path, content)
  await expect(createStore({ path }).ready()).rejects.toMatchObject({
    code: 'SESSION_SCHEMA',
    message: expect.stringContaining(path)
  })
  expect(await readFile(path)).toEqual(content)
  expect(await readdir(folder)).toEqual(['sessions.sqlite'])
})

test('a corrupt database is refused, and not changed', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  const store = createStore({ path })
  await store.insert(idOf('a'), entryOf())
  await store.disconnect()
  const content = await readFile(path)
  content.fill(0x5a, 100, 4096) // the schema's page, behind a header that is intact
  await writeFile(path, content)
  await expect(createStore({ path }).ready()).rejects.toMatchObject({
    code: 'SESSION_SCHEMA',
    message: expect.stringMatching(/corrupt.*restore a backup/)
  })
  expect(await readFile(path)).toEqual(content)
})

test('a corrupt page that is met later is an error, and never "no session"', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  const store = createStore({ path })
  await Promise.all(
    Array.from({ length: 200 }, (_, n) => store.insert(idOf(`${n}`), entryOf({ text: 'x'.repeat(500) })))
  )
  await store.disconnect()
  const content = await readFile(path)
  const database = new DatabaseSync(path)
  const pages = database.prepare('select pageno from dbstat where name = ?').all('bodhi_sessions')
  database.close()
  for (const { pageno } of pages) content.fill(0xff, (Number(pageno) - 1) * 4096, Number(pageno) * 4096)
  await writeFile(path, content)

  const reopened = createStore({ path })
  await expect(reopened.read(idOf('7'))).rejects.toMatchObject({ code: 'SESSION_SCHEMA' })
  await expect(reopened.touch(idOf('7'))).rejects.toMatchObject({ code: 'SESSION_SCHEMA' })
})

test('without write permission on the folder or the file, the message says so', async () => {
  const folder = await createFolder()
  await chmod(folder, 0o755)
  const path = join(folder, 'sessions.sqlite')
  const onFolder = startProgram('open-as-nobody', path)
  expect(JSON.parse((await onFolder.nextLine()) ?? '')).toMatchObject({
    code: 'SESSION_BACKEND',
    message: expect.stringMatching(/write permission on the folder/)
  })

  const store = createStore({ path })
  await store.ready()
  await chmod(path, 0o444)
  const onFile = startProgram('open-as-nobody', path)
  expect(JSON.parse((await onFile.nextLine()) ?? '')).toMatchObject({ code: 'SESSION_BACKEND' })
})

test('a full disk is an error for those whose writes did not fit', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  const store = createStore({ path })
  await store.insert(idOf('small'), entryOf())
  const [row] = (await store.query('select page_count from pragma_page_count')) as [{ page_count: number }]
  // SQLite reports the limit with the code of a full disk.
  await store.query(`pragma max_page_count = ${row.page_count}`)
  await expect(store.insert(idOf('large'), entryOf({ text: 'x'.repeat(50_000) }))).rejects.toMatchObject({
    code: 'SESSION_BACKEND',
    message: expect.stringContaining('full')
  })
  expect(await store.read(idOf('large'))).toBeUndefined()
  expect(await store.touch(idOf('small'))).toBeDefined()
})

test.each([
  [256 * 1024 ** 2, 16_000],
  [4 * 1024 ** 3, 131_072],
  [64 * 1024 ** 3, 256_000]
])('with %d bytes of memory, at most %d KiB of pages are kept', (memory, kib) => {
  expect(cacheKib(memory)).toBe(kib)
})

test('a connection keeps as many pages as its memory allows', async () => {
  const store = createStore({ path: join(await createFolder(), 'sessions.sqlite') })
  const [row] = (await store.query('pragma cache_size')) as Array<{ cache_size: number }>
  const kib = -(row?.cache_size ?? 0)
  expect(kib).toBeGreaterThanOrEqual(16_000)
  expect(kib).toBeLessThanOrEqual(256_000)
})
