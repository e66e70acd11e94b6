import { createRequire } from 'node:module'
import session from 'express-session'
import type { Contender, ContenderSetup } from '../harness/contender.ts'
import { type BetterSqlite3, openBetterSqlite3Database } from './better-sqlite3.ts'
import { type ExpressStore, expressStore } from './express-store.ts'

type StoreFactory = (
  express: typeof session
) => new (options: {
  client: BetterSqlite3
}) => ExpressStore & session.Store

export async function openBetterSqlite3Store(setup: ContenderSetup): Promise<Contender> {
  const { store, database } = await betterSqlite3Store(setup.location, setup.durability)
  return expressStore(
    store,
    async () => database.close(),
    async (entries) => {
      database.exec('begin')
      for (const [key, data] of entries) store.set(key, data, () => {})
      database.exec('commit')
    }
  )
}

export async function betterSqlite3Store(path: string, durability: ContenderSetup['durability']) {
  const database = await openBetterSqlite3Database(path, durability)
  const require = createRequire(import.meta.url)
  const factory = require('better-sqlite3-session-store') as StoreFactory // it has no types of its own
  const SqliteStore = factory(session)
  return { store: new SqliteStore({ client: database }), database }
}
