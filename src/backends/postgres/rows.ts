import type { SessionId } from '../../core/session.ts'
import type { SeenTimes } from '../../core/touch-memory.ts'
import type { SessionTimes, StoredSession } from '../backend.ts'

/*
 * How rows are read, by position: what a statement selects and the function that reads it stand side by side. So nothing has
 * to be described by the server, or be looked up by name for each column of each row.
 */

/** The columns of a row as the server writes them in text. */
export type Columns = ReadonlyArray<string | null>
export type RowReader<Row> = (columns: Columns) => Row

/** What a statement selects from the table s. */
interface Selection<Row> {
  readonly columns: string
  readonly read: RowReader<Row>
}

export type IdRow = { readonly id: SessionId }
export type SeenRow = SeenTimes & IdRow
export type TimesRow = SessionTimes & IdRow

/** The server's clock in milliseconds, read once per statement. */
export const NOW = `(date_part('epoch', statement_timestamp()) * 1000)::bigint`

export const ID: Selection<IdRow> = {
  columns: 's.key',
  read: (columns) => ({ id: idAt(columns, 0) })
}

export const SEEN: Selection<SeenRow> = {
  columns: `s.key, s.created_at, least(s.expires, s.created_at + :absoluteMs), s.idle_timeout, ${NOW}`,
  read: (columns) => ({
    id: idAt(columns, 0),
    createdAt: Number(columns[1]),
    expiresAt: Number(columns[2]),
    idleTimeoutMs: numberOrNull(columns, 3),
    now: Number(columns[4])
  })
}

export const TIMES: Selection<TimesRow> = {
  columns: `${SEEN.columns}, s.last_active_at, s.version`,
  read: (columns) => ({
    ...SEEN.read(columns),
    lastActiveAt: Number(columns[5]),
    version: Number(columns[6])
  })
}

export const SESSION: Selection<StoredSession> = {
  columns: `${TIMES.columns}, s.user_id, s.value`,
  // Written out, not made from the above: every load comes by here.
  read: (columns) => ({
    id: idAt(columns, 0),
    createdAt: Number(columns[1]),
    expiresAt: Number(columns[2]),
    idleTimeoutMs: numberOrNull(columns, 3),
    now: Number(columns[4]),
    lastActiveAt: Number(columns[5]),
    version: Number(columns[6]),
    userId: columns[7] ?? null,
    value: columns[8] ?? ''
  })
}

/** A boolean. */
export function isTrueAt(columns: Columns, index: number): boolean {
  return columns[index] === 't'
}

function idAt(columns: Columns, index: number): SessionId {
  return (columns[index] ?? '') as SessionId // keys are written from session ids only
}

function numberOrNull(columns: Columns, index: number): number | null {
  const text = columns[index]
  return text === null || text === undefined ? null : Number(text)
}
