import type { DatabaseSync, StatementSync } from 'node:sqlite'

/** The columns of a stored session, in the order in which session-table.ts reads them. */
const STORED = 'key, value, user_id, created_at, last_active_at, expires, idle_timeout, version'

/** What an end leaves of a row: the mark that nothing may bring it back, and nothing of what it held. */
const TO_TOMBSTONE =
  'value = null, user_id = null, idle_timeout = null, successor = null, expires = ?, last_active_at = ?'

/**
 * Every statement on the table of sessions. Those that run for each request name no indexed column in `set`, since SQLite
 * rewrites the index entries of every column that is named, changed or not. Parameters are plain question marks: Node 22
 * takes numbered ones (?1) for names, and binds no list to them.
 */
function sqlFor(table: string) {
  const t = `"${table}"`
  return {
    read: `select ${STORED} from ${t} where namespace = ? and key = ?`,

    find: `
      select rowid, value is not null, user_id, created_at, expires, idle_timeout, version, prune_at, successor
      from ${t} where namespace = ? and key = ?`,

    value: `select value from ${t} where rowid = ?`,

    insert: `
      insert into ${t}
        (namespace, key, user_id, expires, last_active_at, created_at, idle_timeout, version, prune_at, value)
      values (?, ?, ?, ?, ?, ?, ?, 1, ?, ?)
      on conflict (namespace, key) do nothing`,

    write: `
      update ${t} set value = ?, expires = ?, last_active_at = ?, idle_timeout = ?, version = ?
      where rowid = ?`,

    writeIndexed: `
      update ${t}
      set value = ?, expires = ?, last_active_at = ?, idle_timeout = ?, version = ?, user_id = ?, created_at = ?,
        prune_at = ?
      where rowid = ?`,

    touch: `update ${t} set expires = ?, last_active_at = ?, idle_timeout = ? where rowid = ?`,

    touchSooner: `
      update ${t} set expires = ?, last_active_at = ?, idle_timeout = ?, prune_at = ? where rowid = ?`,

    moveRow: `
      update ${t}
      set key = ?, value = ?, user_id = ?, created_at = ?, expires = ?, last_active_at = ?, idle_timeout = ?,
        version = ?, prune_at = ?
      where rowid = ?`,

    insertTombstone: `
      insert into ${t} (namespace, key, expires, last_active_at, created_at, version, prune_at, successor)
      values (?, ?, ?, ?, ?, 0, ?, ?)`,

    end: `
      update ${t} set ${TO_TOMBSTONE}
      where namespace = ? and key = ? and value is not null and expires > ? and prune_at <= ?`,

    endSooner: `
      update ${t} set ${TO_TOMBSTONE}, prune_at = min(prune_at, ?)
      where namespace = ? and key = ? and value is not null and expires > ?`,

    endByUser: `
      update ${t} set ${TO_TOMBSTONE}, prune_at = min(prune_at, ?)
      where namespace = ? and user_id = ? and value is not null and expires > ? and key <> ?`,

    lastRowid: `select max(rowid) from ${t}`,

    rangeEnd: `select max(rowid) from (select rowid from ${t} where rowid > ? order by rowid limit ?)`,

    endRange: `
      update ${t} set ${TO_TOMBSTONE}, prune_at = min(prune_at, ?)
      where rowid > ? and rowid <= ? and namespace = ? and value is not null and expires > ?`,

    countRange: `
      select count(*) from ${t}
      where rowid > ? and rowid <= ? and namespace = ? and value is not null and expires > ?`,

    listByUser: `
      select ${STORED} from ${t}
      where namespace = ? and user_id = ? and value is not null and expires > ?
      order by last_active_at desc, rowid desc`,

    idsByUser: `
      select key from ${t}
      where namespace = ? and user_id = ? and value is not null and expires > ?
      order by last_active_at desc, rowid desc`,

    countByUser: `
      select count(*) from ${t} where namespace = ? and user_id = ? and value is not null and expires > ?`,

    page: `select ${STORED} from ${t} where namespace = ? and key > ? order by key limit ?`,

    due: `
      select rowid, value is not null, expires from ${t} where namespace = ? and prune_at <= ?
      order by prune_at limit ?`,

    pruneLater: `update ${t} set prune_at = expires where rowid = ?`,

    remove: `delete from ${t} where rowid = ? and expires <= ?`
  }
}

export type SessionStatements = Readonly<Record<keyof ReturnType<typeof sqlFor>, StatementSync>>

export function prepareStatements(database: DatabaseSync, table: string): SessionStatements {
  const prepare = (sql: string): StatementSync => {
    const statement = database.prepare(sql)
    // Arrays cost a fifth less to read than objects.
    statement.setReturnArrays(true)
    return statement
  }
  const entries = Object.entries(sqlFor(table)).map(([name, sql]) => [name, prepare(sql)])
  return Object.fromEntries(entries) as SessionStatements // the same keys as sqlFor's
}
