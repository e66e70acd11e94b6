import type { DatabaseSync, StatementSync } from 'node:sqlite'

/** What an end leaves of a row: the mark that nothing may bring it back, and nothing of what it held. */
const TO_TOMBSTONE =
  'value = null, user_id = null, idle_timeout = null, successor = null, expires = ?, last_active_at = ?'

/**
 * Every statement on the table of sessions. Those that run for each request name no indexed column in `set`, since SQLite
 * rewrites the index entries of every column that is named, changed or not. Parameters are plain question marks: Node 22
 * takes numbered ones (?1) for names, and binds no list to them.
 */
function sqlFor(table: string, absoluteTimeoutMs: number) {
  const t = `"${table}"`
  // The absolute deadline is asked for again: the absolute timeout may have become shorter since the row was written.
  const deadline = `min(expires, created_at + ${absoluteTimeoutMs})`
  const isLive = `value is not null and ${deadline} > ?`
  const due = `case when value is null then expires else ${deadline} end`
  /** The columns of a stored session, in the order in which session-table.ts reads them. */
  const stored = `key, value, user_id, created_at, last_active_at, ${deadline}, idle_timeout, version`
  return {
    read: `select ${stored} from ${t} where namespace = ? and key = ?`,

    find: `
      select rowid, value is not null, user_id, created_at, ${due}, idle_timeout, version, prune_at, successor
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
      where namespace = ? and key = ? and ${isLive} and prune_at <= ?`,

    endSooner: `
      update ${t} set ${TO_TOMBSTONE}, prune_at = min(prune_at, ?)
      where namespace = ? and key = ? and ${isLive}`,

    endByUser: `
      update ${t} set ${TO_TOMBSTONE}, prune_at = min(prune_at, ?)
      where namespace = ? and user_id = ? and ${isLive} and key <> ?`,

    lastRowid: `select max(rowid) from ${t}`,

    rangeEnd: `select max(rowid) from (select rowid from ${t} where rowid > ? order by rowid limit ?)`,

    endRange: `
      update ${t} set ${TO_TOMBSTONE}, prune_at = min(prune_at, ?)
      where rowid > ? and rowid <= ? and namespace = ? and ${isLive}`,

    countRange: `
      select count(*) from ${t}
      where rowid > ? and rowid <= ? and namespace = ? and ${isLive}`,

    listByUser: `
      select ${stored} from ${t}
      where namespace = ? and user_id = ? and ${isLive}
      order by last_active_at desc, rowid desc`,

    idsByUser: `
      select key from ${t}
      where namespace = ? and user_id = ? and ${isLive}
      order by last_active_at desc, rowid desc`,

    countByUser: `
      select count(*) from ${t} where namespace = ? and user_id = ? and ${isLive}`,

    page: `select ${stored} from ${t} where namespace = ? and key > ? order by key limit ?`,

    due: `
      select rowid, value is not null, ${due} from ${t} where namespace = ? and prune_at <= ?
      order by prune_at limit ?`,

    pruneLater: `update ${t} set prune_at = ${due} where rowid = ?`,

    remove: `delete from ${t} where rowid = ? and ${due} <= ?`
  }
}

export type SessionStatements = Readonly<Record<keyof ReturnType<typeof sqlFor>, StatementSync>>

export function prepareStatements(
  database: DatabaseSync,
  table: string,
  absoluteTimeoutMs: number
): SessionStatements {
  const prepare = (sql: string): StatementSync => {
    const statement = database.prepare(sql)
    // Arrays cost a fifth less to read than objects.
    statement.setReturnArrays(true)
    return statement
  }
  const entries = Object.entries(sqlFor(table, absoluteTimeoutMs)).map(([name, sql]) => [name, prepare(sql)])
  return Object.fromEntries(entries) as SessionStatements // the same keys as sqlFor's
}
