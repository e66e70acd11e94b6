import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import session from 'express-session'
import pg from 'pg'
import type { Contender, ContenderSetup } from '../harness/contender.ts'
import { type ExpressStore, expressStore } from './express-store.ts'

interface StoreOptions {
  readonly pool: pg.Pool
  readonly pruneSessionInterval: false
}
type StoreFactory = (express: typeof session) => new (options: StoreOptions) => ExpressStore & session.Store

const require = createRequire(import.meta.url)

export async function openConnectPgSimple({ location, connections }: ContenderSetup): Promise<Contender> {
  const { store, pool } = await connectPgSimple(location, connections)
  return {
    ...expressStore(
      store,
      () => pool.end(),
      async (entries) => {
        await pool.query(
          `insert into session (sid, sess, expire)
            select * from unnest($1::text[], $2::json[], $3::timestamptz[])`,
          [
            entries.map(([key]) => key),
            entries.map(([, data]) => JSON.stringify(data)),
            entries.map(([, data]) => data.cookie.expires)
          ]
        )
      }
    ),
    async prune() {
      const result = await pool.query('delete from session where expire < now()')
      return result.rowCount ?? 0
    }
  }
}

/** With the table that the package ships. */
export async function connectPgSimple(url: string, connections: number) {
  const pool = new pg.Pool({ connectionString: url, max: connections })
  const { rows } = await pool.query<{ name: string | null }>(`select to_regclass('session')::text as name`)
  if (rows[0]?.name === null)
    await pool.query(await readFile(require.resolve('connect-pg-simple/table.sql'), 'utf8'))
  const factory = require('connect-pg-simple') as StoreFactory // it has no types of its own
  const PgStore = factory(session)
  return { store: new PgStore({ pool, pruneSessionInterval: false }), pool }
}
