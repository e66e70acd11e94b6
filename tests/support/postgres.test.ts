import pg from 'pg'
import { expect, test } from 'vitest'
import { createTestDatabase, startPostgres } from './postgres.ts'

async function ask(url: string, text: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const result = await client.query({ text, rowMode: 'array' })
    return result.rows[0]?.[0]
  } finally {
    await client.end()
  }
}

test('the server has the major version that was asked for', async () => {
  await using database = await createTestDatabase()
  const version = await ask(database.url, 'show server_version')
  const asked = process.env['BODHI_TEST_PG_MAJOR']
  if (asked) expect(version).toMatch(new RegExp(`^${asked}\\.`))
  else expect(Number.parseInt(String(version), 10)).toBeGreaterThanOrEqual(14)
})

test('each test database is new and empty', async () => {
  await using one = await createTestDatabase()
  await using two = await createTestDatabase()
  await ask(one.url, 'create table marker (id int)')
  expect(await ask(one.url, "select to_regclass('marker')::text")).toBe('marker')
  expect(await ask(two.url, "select to_regclass('marker')::text")).toBeNull()
})

test('a server of its own keeps its URL and its data through a stop and a crash', async () => {
  await using server = await startPostgres({ settings: { max_connections: '7' } })
  expect(await ask(server.url, 'show max_connections')).toBe('7')
  await ask(server.url, 'create table marker as select 1 as id')
  for (const mode of ['fast', 'immediate'] as const) {
    await server.stop(mode)
    expect(server.pid).toBeUndefined()
    await expect(ask(server.url, 'select 1')).rejects.toThrow('ECONNREFUSED')
    await server.start()
    expect(await ask(server.url, 'select count(*)::int from marker')).toBe(1)
  }
})

test('a server that cannot start says why', async () => {
  await expect(startPostgres({ settings: { max_connections: 'many' } })).rejects.toThrow(/max_connections/)
})
