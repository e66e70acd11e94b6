import {
  BackendError,
  BackendUnavailableError,
  DataError,
  SchemaError,
  SessionError
} from '../../core/errors.ts'

/*
 * What the driver's errors mean, decided here once, by SQLSTATE (five characters, from the server:
 * https://www.postgresql.org/docs/current/errcodes-appendix.html) or by Node's error code, never by text.
 */

/** SQLSTATEs, or their two-character classes, after which the same call may succeed later. */
const UNAVAILABLE = new Set([
  '08', // connection exceptions
  '40', // deadlocks and serialisation failures that outlasted the retries
  '57', // query cancelled (statement_timeout), server shutting down, crashed or starting
  '25006', // read-only: a standby, or a server in recovery
  '25P03', // idle_in_transaction_session_timeout
  '25P04', // transaction_timeout
  '53300', // too many connections
  '55006', // object in use
  '55P03' // lock_timeout
])

/** The server refused this value, not this kind of statement. */
const DATA = new Set([
  '22', // data exceptions: for example U+0000 in a text
  '54' // program limits: for example an index entry over a third of a page
])

/** What the table is not as the migrations left it. */
const SCHEMA = new Set([
  '3F000', // no such schema
  '42P01', // no such table
  '42703', // no such column
  '42804', // a column of another type
  '42883', // an operator that the column's type does not have
  '42P10' // no such unique constraint
])

/** One row of a batch is at fault, so that the others may succeed without it; P0 is what a trigger raises. */
const ONE_ROW = new Set(['21', '22', '23', '44', '54', 'P0'])

/** The SQLSTATE of an error that the server sent; undefined for all others. */
export function sqlStateOf(error: unknown): string | undefined {
  const code = codeOf(error)
  return code !== undefined && /^[0-9A-Z]{5}$/.test(code) && hasSeverity(error) ? code : undefined
}

/** Whether the connection on which the error came must not be used again. */
export function breaksConnection(error: unknown): boolean {
  const state = sqlStateOf(error)
  if (state === undefined) return true
  // 25006: the server behind this connection has become a standby; a new one may find the primary.
  return state.startsWith('08') || state.startsWith('57P') || state === '25006'
}

/** A pooler in transaction mode handed out another server connection, which does not know the prepared statement. */
export function lostPreparedStatement(error: unknown): boolean {
  const state = sqlStateOf(error)
  return state === '26000' || state === '42P05'
}

/** The pooler does not take our time-outs as start-up parameters (pgbouncer answers 08P01). */
export function refusesStartupParameters(error: unknown): boolean {
  return sqlStateOf(error) === '08P01'
}

/** What to do about a batch that failed, with the mapped error that its callers would get. */
export function remedyFor(error: unknown): 'retry' | 'split' | 'separate' | 'fail' {
  const state = error instanceof SessionError ? sqlStateOf(error.cause) : sqlStateOf(error)
  if (state === undefined) return 'fail'
  if (state === '40P01' || state === '40001') return 'retry'
  if (state === '55P03') return 'separate'
  return belongsTo(ONE_ROW, state) ? 'split' : 'fail'
}

/**
 * The driver's error as one of ours, which keeps it as its cause.
 * @param doing What was being done, to what: 'reading a session from db.example:5432/app'.
 */
export function toSessionError(error: unknown, doing: string): SessionError {
  if (error instanceof SessionError) return error
  const state = sqlStateOf(error)
  const cause = withoutRowData(error)
  if (state === undefined) {
    const code = codeOf(error)
    if (error instanceof TypeError || error instanceof RangeError || isTlsCode(code)) {
      return new BackendError(`PostgreSQL: ${doing} failed: ${messageOf(error)}.`, { cause })
    }
    const why = code === undefined ? messageOf(error) : `${code}: ${messageOf(error)}`
    return new BackendUnavailableError(
      `PostgreSQL does not answer: ${doing} failed (${why}). Check that the server runs and can be reached.`,
      { cause }
    )
  }
  const what = `PostgreSQL: ${doing} failed with SQLSTATE ${state} (${messageOf(error)}).`
  if (belongsTo(UNAVAILABLE, state)) return new BackendUnavailableError(what, { cause })
  if (belongsTo(DATA, state)) return new DataError(`${what} The server refuses this value.`, { cause })
  if (belongsTo(SCHEMA, state)) {
    return new SchemaError(`${what} The table is not as the migrations leave it: run them again.`, { cause })
  }
  if (state === '42501') {
    return new BackendError(`${what} Grant the database user the rights that this needs.`, { cause })
  }
  return new BackendError(what, { cause })
}

function belongsTo(set: ReadonlySet<string>, state: string): boolean {
  return set.has(state) || set.has(state.slice(0, 2))
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

/** Every error message from the server has a severity; Node's errors, whose codes may look alike (EPIPE), have none. */
function hasSeverity(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'severity' in error && error.severity !== undefined
}

function isTlsCode(code: string | undefined): boolean {
  return code !== undefined && /^(ERR_TLS_|ERR_SSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/.test(code)
}

function messageOf(error: unknown): string {
  return error instanceof Error && error.message !== '' ? error.message : String(error)
}

/** The server quotes whole rows in `detail` and statements in `where`: session data has no place in a log. */
function withoutRowData(error: unknown): unknown {
  if (typeof error === 'object' && error !== null) {
    if ('detail' in error) error.detail = undefined
    if ('where' in error) error.where = undefined
  }
  return error
}
