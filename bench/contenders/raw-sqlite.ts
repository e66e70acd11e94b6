import { randomBytes } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import type { BenchData, Contender, ContenderSetup } from '../harness/contender.ts'
import { expiryOf } from '../harness/workload.ts'
import { openBetterSqlite3Database } from './better-sqlite3.ts'

type Parameter = string | number

/** What both drivers have in common. */
interface Driver {
  exec(sql: string): unknown
  prepare(sql: string): {
    get(...parameters: Parameter[]): unknown
    run(...parameters: Parameter[]): unknown
  }
  close(): void
}

export async function openNodeSqlite({ location, durability }: ContenderSetup): Promise<Contender> {
  const database = new DatabaseSync(location)
  database.exec(`pragma journal_mode = wal; pragma synchronous = ${durability}`)
  return rawSqlite(database)
}

export async function openBetterSqlite3({ location, durability }: ContenderSetup): Promise<Contender> {
  return rawSqlite(await openBetterSqlite3Database(location, durability))
}

/** What the driver itself can do: prepared statements, JSON, and nothing that a store has to promise. */
function rawSqlite(database: Driver): Contender {
  database.exec(`
    create table if not exists raw_sessions (key text primary key, value text not null, expires integer not null)`)
  const read = database.prepare('select value from raw_sessions where key = ? and expires > ?')
  const write = database.prepare(`
    insert into raw_sessions (key, value, expires) values (?, ?, ?)
    on conflict (key) do update set value = excluded.value, expires = excluded.expires`)
  const extend = database.prepare('update raw_sessions set expires = ? where key = ?')
  const remove = database.prepare('delete from raw_sessions where key = ?')

  const save = async (key: string, data: BenchData) => {
    write.run(key, JSON.stringify(data), expiryOf(data))
  }
  return {
    async fill(entries) {
      database.exec('begin')
      for (const [key, data] of entries) write.run(key, JSON.stringify(data), expiryOf(data))
      database.exec('commit')
    },
    async load(key) {
      const row = read.get(key, Date.now()) as { value: string } | undefined // the columns of the statement above
      return row && JSON.parse(row.value)
    },
    save,
    async touch(key, cookie) {
      extend.run(expiryOf({ cookie }), key)
    },
    async create(data) {
      const key = randomBytes(24).toString('base64url')
      await save(key, data)
      return key
    },
    async destroy(key) {
      remove.run(key)
    },
    close: async () => database.close()
  }
}
