import { createRequire } from 'node:module'
import { basename, dirname } from 'node:path'
import session from 'express-session'
import type { Contender, ContenderSetup } from '../harness/contender.ts'
import { type ExpressStore, expressStore } from './express-store.ts'

type StoreFactory = (
  express: typeof session
) => new (options: {
  dir: string
  db: string
  concurrentDB: boolean
}) => ExpressStore & { close(): void; db: { exec(sql: string): void } }

/**
 * Not among the dependencies of this repository, since its driver has to be compiled: `npm install --no-save
 * connect-sqlite3` adds it to the table.
 */
export async function openConnectSqlite3({ location, durability }: ContenderSetup): Promise<Contender> {
  const require = createRequire(import.meta.url)
  const factory = require('connect-sqlite3') as StoreFactory // it has no types of its own
  const SqliteStore = factory(session)
  const store = new SqliteStore({ dir: dirname(location), db: basename(location), concurrentDB: true })
  store.db.exec(`pragma journal_mode = wal; pragma synchronous = ${durability}`)
  return expressStore(store, async () => store.close())
}
