import { createRequire } from 'node:module'

/** The part of better-sqlite3 that is used here; it has no types of its own. */
export interface BetterSqlite3 {
  pragma(source: string): unknown
  exec(sql: string): unknown
  prepare(sql: string): {
    get(...parameters: unknown[]): unknown
    run(...parameters: unknown[]): unknown
  }
  close(): void
}

/** A write-ahead log, as on the other side; NORMAL or FULL, as on the other side. */
export async function openBetterSqlite3Database(
  path: string,
  durability: 'normal' | 'full'
): Promise<BetterSqlite3> {
  const require = createRequire(import.meta.url)
  const Database = require('better-sqlite3') as new (path: string) => BetterSqlite3 // as above
  const database = new Database(path)
  database.pragma('journal_mode = WAL')
  database.pragma(`synchronous = ${durability}`)
  return database
}
