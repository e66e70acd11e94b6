import { randomBytes } from 'node:crypto'
import pg from 'pg'
import type { BenchData, Contender, ContenderSetup } from '../harness/contender.ts'
import { expiryOf } from '../harness/workload.ts'

/** What the driver itself can do: one statement for each call, and nothing that a store has to promise. */
export async function openRawPostgres(
  { location, connections }: ContenderSetup,
  statements: 'named' | 'unnamed'
): Promise<Contender> {
  const pool = new pg.Pool({ connectionString: location, max: connections })
  await pool.query(`
    create table if not exists raw_sessions (
      key text primary key,
      value text not null,
      expires bigint not null
    ) with (fillfactor = 70)`)
  const run = (name: string, text: string, values: unknown[]) =>
    pool.query(statements === 'named' ? { name, text, values } : { text, values })

  const save = (key: string, data: BenchData) =>
    run(
      'save',
      `insert into raw_sessions (key, value, expires) values ($1, $2, $3)
        on conflict (key) do update set value = excluded.value, expires = excluded.expires`,
      [key, JSON.stringify(data), expiryOf(data)]
    )
  return {
    async fill(entries) {
      await pool.query(
        `insert into raw_sessions select * from unnest($1::text[], $2::text[], $3::bigint[])`,
        [
          entries.map(([key]) => key),
          entries.map(([, data]) => JSON.stringify(data)),
          entries.map(([, data]) => expiryOf(data))
        ]
      )
    },
    async load(key) {
      const text = 'select value from raw_sessions where key = $1 and expires > $2'
      const { rows } = await run('load', text, [key, Date.now()])
      return rows[0] && JSON.parse(rows[0].value)
    },
    save,
    touch: (key, cookie) =>
      run('touch', 'update raw_sessions set expires = $2 where key = $1', [key, expiryOf({ cookie })]),
    async create(data) {
      const key = randomBytes(24).toString('base64url')
      await save(key, data)
      return key
    },
    destroy: (key) => run('destroy', 'delete from raw_sessions where key = $1', [key]),
    close: () => pool.end()
  }
}
