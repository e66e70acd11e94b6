import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import type { SessionServiceOptions } from '../../src/config/options.ts'
import { DefaultSessionService } from '../../src/default-session-service.ts'
import type { AdapterStore } from '../../src/testing/adapter-contract.ts'
import type { ContractStore } from '../../src/testing/session-contract.ts'
import { createTestDatabase } from './postgres.ts'

/** What a store is told or asked in its own words, behind the back of the services. */
interface Hands {
  query(sql: string, parameters: Array<string | number>): Promise<ReadonlyArray<Record<string, unknown>>>
  close(): Promise<void>
}

/** For the contract of sessions, and for that of adapters. */
export type TestStore = ContractStore & AdapterStore

/** A SQLite file of its own, in a folder that goes away with it. */
export async function createSqliteStore(): Promise<TestStore> {
  const folder = await mkdtemp(join(tmpdir(), 'bodhi-session-contract-'))
  const path = join(folder, 'sessions.sqlite')
  let database: DatabaseSync | undefined
  return storeOn(`sqlite:${path}`, 'bodhi_sessions', {
    async query(sql, parameters) {
      database ??= new DatabaseSync(path, { timeout: 5_000 })
      return database.prepare(sql.replaceAll(/\$\d/g, '?')).all(...parameters)
    },
    async close() {
      database?.close()
      await rm(folder, { recursive: true, force: true })
    }
  })
}

/** One database for a whole test file, with a table for each store. */
export async function createPostgresStores(): Promise<{
  createStore(): Promise<TestStore>
  drop(): Promise<void>
}> {
  const database = await createTestDatabase()
  const pool = new pg.Pool({ connectionString: database.url, max: 2 })
  let count = 0
  return {
    async createStore() {
      const table = `store_${++count}`
      return storeOn(database.url, table, {
        query: (sql, parameters) => queryAgainstTraffic(pool, sql, parameters),
        close: async () => {}
      })
    },
    async drop() {
      await pool.end()
      await database.drop()
    }
  }
}

/** A statement on the whole table locks its rows in any order, so it may lose a deadlock against a store's batch. */
async function queryAgainstTraffic(pool: pg.Pool, sql: string, parameters: Array<string | number>) {
  for (;;) {
    try {
      return (await pool.query(sql, parameters)).rows
    } catch (error) {
      if (!(error instanceof pg.DatabaseError) || error.code !== '40P01') throw error
    }
  }
}

function storeOn(url: string, table: string, hands: Hands): TestStore {
  const services: AsyncDisposable[] = []
  // Both keep a lower bound of the expiry for pruning, which ages with it.
  const bound = url.startsWith('sqlite:')
    ? 'prune_at = prune_at - $3'
    : 'expires_bucket = least(expires_bucket, ((expires - $3) / 60000)::integer)'
  return {
    async connect<T extends object>(options?: SessionServiceOptions<T>) {
      const service = await DefaultSessionService.connect<T>(url, {
        pruneIntervalMs: 0,
        ...options,
        sqlite: { table },
        postgres: { table, maxConnections: 4 }
      })
      services.push(service)
      return service
    },
    async age(ms) {
      await hands.query(
        `update ${table} set created_at = created_at - $1, last_active_at = last_active_at - $2, ${bound}, expires = expires - $4`,
        [ms, ms, ms, ms]
      )
    },
    async dump() {
      return JSON.stringify(await hands.query(`select * from ${table}`, []))
    },
    async countRows() {
      const [row] = await hands.query(`select count(*) as n from ${table}`, [])
      return Number(row?.['n'])
    },
    async corrupt(id) {
      await hands.query(`update ${table} set value = $1 where key = $2 and value is not null`, [
        '{"not json',
        id
      ])
    },
    async breakDown() {
      await hands.query(`alter table ${table} rename to ${table}_away`, [])
      return async () => {
        await hands.query(`alter table ${table}_away rename to ${table}`, [])
      }
    },
    async close() {
      for (const service of services) await service[Symbol.asyncDispose]()
      await hands.close()
    }
  }
}
