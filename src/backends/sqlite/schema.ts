import type { DatabaseSync } from 'node:sqlite'
import { SchemaError } from '../../core/errors.ts'
import { isSqlError } from './result-code.ts'

/** One row per migration and session table: several applications may keep tables of their own in one file. */
export const VERSION_TABLE = 'bodhi_session_schema'

interface Migration {
  readonly version: number
  /** The oldest schema version whose library may keep running on this one; only an older library refuses to start. */
  readonly oldestCompatible: number
  readonly sql: (table: string) => string
}

/*
 * A table with rowids, not `without rowid`: rows of 1 KB would overflow the pages of the latter, and were measured at 2 to
 * 5 times the cost. The rowid also stays the same when rotation changes the key.
 *
 * `expires` is not indexed: an index on it would double the cost of every touch. Pruning looks at `prune_at`, a lower bound
 * of `expires` which touches and saves leave alone, and which pruning itself raises when it meets a row that has been
 * used since. So a session in constant use costs one change of that index per idle timeout.
 */
const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    oldestCompatible: 1,
    sql: (table) => `
      create table "${table}" (
        namespace text not null,
        key text not null,
        user_id text,
        expires integer not null,
        last_active_at integer not null,
        created_at integer not null,
        idle_timeout integer,
        version integer not null,
        prune_at integer not null,
        successor text,
        value text,
        primary key (namespace, key)
      ) strict;
      create index "${table}_by_user" on "${table}" (namespace, user_id) where user_id is not null;
      create index "${table}_by_prune_at" on "${table}" (namespace, prune_at);
    `
  }
]

const CURRENT = MIGRATIONS.at(-1)?.version ?? 0

/**
 * Brings the schema up to date, in one transaction; a schema that is current already costs reads only.
 * @throws SchemaError for a table that is not ours, or one that a newer library made unfit for this one. Nothing is written.
 */
export function migrate(database: DatabaseSync, table: string, path: string, now: () => number): void {
  if (installedVersion(database, table, path) >= CURRENT) return
  database.exec('begin immediate')
  try {
    database.exec(`
      create table if not exists "${VERSION_TABLE}" (
        table_name text not null,
        version integer not null,
        oldest_compatible integer not null,
        applied_at integer not null,
        primary key (table_name, version)
      ) strict
    `)
    // Another process may have migrated while this one waited for the lock.
    const installed = installedVersion(database, table, path)
    for (const migration of MIGRATIONS) {
      if (migration.version <= installed) continue
      database.exec(migration.sql(table))
      database
        .prepare(
          `insert into "${VERSION_TABLE}" (table_name, version, oldest_compatible, applied_at) values (?, ?, ?, ?)`
        )
        .run(table, migration.version, migration.oldestCompatible, now())
    }
    database.exec('commit')
  } catch (error) {
    if (database.isTransaction) database.exec('rollback')
    throw error
  }
}

/** 0: no table yet. */
function installedVersion(database: DatabaseSync, table: string, path: string): number {
  const exists = database.prepare('select type from sqlite_schema where name = ? collate nocase')
  const recorded = exists.get(VERSION_TABLE) && newestVersion(database, table, path)
  if (!recorded) {
    if (!exists.get(table)) return 0
    throw new SchemaError(
      `The SQLite database ${path} has a table "${table}" that is not a session table of this library. It was left as it ` +
        'is: choose another name with the option sqlite.table, or another file.'
    )
  }
  if (!exists.get(table)) {
    throw new SchemaError(
      `The table "${table}" is gone from the SQLite database ${path}, but ${VERSION_TABLE} still records it. Restore a ` +
        `backup; or, to begin with no sessions: delete from ${VERSION_TABLE} where table_name = '${table}'`
    )
  }
  if (recorded.oldestCompatible > CURRENT) {
    throw new SchemaError(
      `The table "${table}" in the SQLite database ${path} has schema version ${recorded.version}, which needs a library ` +
        `that knows version ${recorded.oldestCompatible} or later; this one knows ${CURRENT}. Update bodhi-session.`
    )
  }
  return recorded.version
}

function newestVersion(
  database: DatabaseSync,
  table: string,
  path: string
): { version: number; oldestCompatible: number } | undefined {
  try {
    const row = database
      .prepare(
        `select version, oldest_compatible from "${VERSION_TABLE}" where table_name = ? order by version desc limit 1`
      )
      .get(table)
    return row && { version: Number(row['version']), oldestCompatible: Number(row['oldest_compatible']) }
  } catch (error) {
    if (!isSqlError(error)) throw error
    throw new SchemaError(
      `The SQLite database ${path} has a table ${VERSION_TABLE} that is not this library's. It was left as it is: use ` +
        'another file.',
      { cause: error }
    )
  }
}
