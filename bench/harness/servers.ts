import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import pg from 'pg'
import { startPostgres } from '../../tests/support/postgres.ts'

/** A PostgreSQL for the bench: durable as in production, and large enough that a million sessions stay in its memory. */
export interface BenchPostgres extends AsyncDisposable {
  readonly pid: number
  /** A new, empty database. */
  createDatabase(name: string): Promise<string>
  /** Drops what createDatabase has made, so that the next claim finds the server's memory free. */
  dropDatabases(): Promise<void>
  query<Row extends pg.QueryResultRow>(database: string, sql: string, values?: unknown[]): Promise<Row[]>
}

export async function startBenchPostgres(): Promise<BenchPostgres> {
  const server = await startPostgres({
    settings: {
      fsync: 'on',
      synchronous_commit: 'on',
      shared_buffers: '3GB',
      // No checkpoint in the middle of a slice; the bench makes its own between them.
      checkpoint_timeout: '1h',
      max_wal_size: '16GB',
      max_connections: '300'
    }
  })
  const { pid } = server
  if (pid === undefined) throw new Error('PostgreSQL is not running')
  const urlOf = (database: string) => server.url.replace(/\/postgres$/, `/${database}`)
  const query = async <Row extends pg.QueryResultRow>(database: string, sql: string, values?: unknown[]) => {
    const client = new pg.Client({ connectionString: urlOf(database) })
    await client.connect()
    try {
      return (await client.query<Row>(sql, values)).rows
    } finally {
      await client.end()
    }
  }
  const databases = new Set<string>()
  return {
    pid,
    query,
    async createDatabase(name) {
      await query('postgres', `create database ${name}`)
      databases.add(name)
      return urlOf(name)
    },
    async dropDatabases() {
      for (const name of databases) await query('postgres', `drop database ${name} with (force)`)
      databases.clear()
    },
    [Symbol.asyncDispose]: () => server.close()
  }
}

export interface BenchRedis extends AsyncDisposable {
  readonly url: string
}

/** A Redis that persists nothing; undefined where redis-server is not installed. */
export async function startRedis(): Promise<BenchRedis | undefined> {
  if (spawnSync('redis-server', ['--version']).error) return undefined
  const port = await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] })
  await untilItSays(child, 'Ready to accept connections')
  return {
    url: `redis://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      const exited = once(child, 'exit')
      child.kill()
      await exited
    }
  }
}

async function untilItSays(child: ChildProcess, words: string): Promise<void> {
  if (child.stdout === null) throw new Error('The output of the server is not read')
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.includes(words)) continue
    child.stdout.resume()
    return
  }
  throw new Error('redis-server ended before it was ready')
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('No port is free')
  return address.port
}
