import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { createFolder, createStore, entryOf, idOf } from './fixtures.ts'

async function createFile(sql: string): Promise<string> {
  const path = join(await createFolder(), 'sessions.sqlite')
  change(path, sql)
  return path
}

function change(path: string, sql: string): void {
  const database = new DatabaseSync(path)
  database.exec(sql)
  database.close()
}

function schemaOf(path: string): unknown[] {
  const database = new DatabaseSync(path)
  const rows = database.prepare('select type, name, sql from sqlite_schema order by name').all()
  database.close()
  return rows
}

test("a table of somebody else's is refused and left alone; the file's journal mode too", async () => {
  const path = await createFile('create table bodhi_sessions (sid text primary key, sess text)')
  const before = schemaOf(path)
  await expect(createStore({ path }).ready()).rejects.toMatchObject({
    code: 'SESSION_SCHEMA',
    message: expect.stringMatching(/"bodhi_sessions" that is not a session table.*sqlite\.table/)
  })
  expect(schemaOf(path)).toEqual(before)
  const database = new DatabaseSync(path)
  expect(database.prepare('pragma journal_mode').get()).toEqual({ journal_mode: 'delete' })
  database.close()
})

test("a version table of somebody else's is refused", async () => {
  const path = await createFile('create table bodhi_session_schema (other text)')
  await expect(createStore({ path }).ready()).rejects.toMatchObject({ code: 'SESSION_SCHEMA' })
})

test('the tables live beside those of the application, and beside each other', async () => {
  const path = await createFile('create table notes (text); insert into notes values (1)')
  const one = createStore({ path, table: 'sessions_a' })
  const two = createStore({ path, table: 'sessions_b' })
  await Promise.all([one.insert(idOf('a'), entryOf()), two.insert(idOf('a'), entryOf())])
  await one.end(idOf('a'))
  expect(await two.count()).toBe(1)
  expect(await one.query('select * from notes')).toEqual([{ text: 1 }])
})

test('a schema that a newer library says this one may use is used', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  await createStore({ path }).insert(idOf('a'), entryOf())
  change(
    path,
    `alter table bodhi_sessions add column note text;
     insert into bodhi_session_schema values ('bodhi_sessions', 99, 1, 0)`
  )
  const store = createStore({ path })
  expect(await store.read(idOf('a'))).toBeDefined()
  expect(await store.put(idOf('a'), entryOf({ n: 1 }), 'refuse')).toMatchObject({ outcome: 'stored' })
})

test('a schema that is too new for this library is refused, with the cure', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  await createStore({ path }).ready()
  change(path, `insert into bodhi_session_schema values ('bodhi_sessions', 99, 98, 0)`)
  await expect(createStore({ path }).ready()).rejects.toMatchObject({
    code: 'SESSION_SCHEMA',
    message: expect.stringMatching(/version 99.*98 or later.*Update bodhi-session/)
  })
})

test('a table that is recorded but gone, or lacks a column, is refused', async () => {
  const gone = join(await createFolder(), 'sessions.sqlite')
  await createStore({ path: gone }).ready()
  change(gone, 'drop table bodhi_sessions')
  await expect(createStore({ path: gone }).ready()).rejects.toMatchObject({ code: 'SESSION_SCHEMA' })

  const lacking = join(await createFolder(), 'sessions.sqlite')
  await createStore({ path: lacking }).ready()
  change(lacking, 'alter table bodhi_sessions drop column successor')
  await expect(createStore({ path: lacking }).ready()).rejects.toMatchObject({
    code: 'SESSION_SCHEMA',
    message: expect.stringContaining('lacks columns')
  })
})

test('a store that finds the schema current takes no lock', async () => {
  const path = join(await createFolder(), 'sessions.sqlite')
  await createStore({ path }).ready()
  const writer = new DatabaseSync(path)
  writer.exec('begin immediate')
  await createStore({ path, busyTimeoutMs: 0 }).ready()
  writer.exec('rollback')
  writer.close()
})

test.each(['', '1a', 'a-b', 'a"b', 'sqlite_a', 'bodhi_session_schema', 'a'.repeat(64)])(
  'the table name %j is refused',
  (table) => {
    expect(() => createStore({ table })).toThrow(expect.objectContaining({ code: 'SESSION_CONFIGURATION' }))
  }
)
