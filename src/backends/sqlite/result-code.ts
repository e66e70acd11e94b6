import {
  BackendError,
  BackendUnavailableError,
  DataError,
  SchemaError,
  SessionError
} from '../../core/errors.ts'

// https://sqlite.org/rescode.html: the low byte of an extended result code is the primary one.
const SQLITE_ERROR = 1
const SQLITE_PERM = 3
const SQLITE_BUSY = 5
const SQLITE_LOCKED = 6
const SQLITE_NOMEM = 7
const SQLITE_READONLY = 8
const SQLITE_IOERR = 10
const SQLITE_CORRUPT = 11
const SQLITE_FULL = 13
const SQLITE_CANTOPEN = 14
const SQLITE_SCHEMA = 17
const SQLITE_TOOBIG = 18
const SQLITE_AUTH = 23
const SQLITE_NOTADB = 26

function primaryCode(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown } | null)?.errcode
  return typeof code === 'number' ? code & 0xff : undefined
}

/** Whether another connection holds the lock: the only failure that waiting cures. */
export function isBusy(error: unknown): boolean {
  const code = primaryCode(error)
  return code === SQLITE_BUSY || code === SQLITE_LOCKED
}

/** Whether SQLite refused the SQL itself: while a schema is checked, this means that a table is not what it should be. */
export function isSqlError(error: unknown): boolean {
  const code = primaryCode(error)
  return code === SQLITE_ERROR || code === SQLITE_SCHEMA
}

/** What a caller is told of a driver's error, by result code and never by text; our own errors pass unchanged. */
export function sessionErrorOf(error: unknown, path: string): SessionError {
  if (error instanceof SessionError) return error
  const cause = { cause: error }
  switch (primaryCode(error)) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return new BackendUnavailableError(
        `The SQLite database ${path} was locked by another connection for longer than busyTimeoutMs. Look for a process ` +
          'that keeps a write transaction open (a backup, a shell), or raise busyTimeoutMs.',
        cause
      )
    case SQLITE_CORRUPT:
      return new SchemaError(
        `The SQLite database ${path} is corrupt. It was left as it is: restore a backup, or recover it with the sqlite3 ` +
          'shell (.recover).',
        cause
      )
    case SQLITE_NOTADB:
      return new SchemaError(
        `The file ${path} is not a SQLite database (or is encrypted). It was left as it is: point the URL to another file.`,
        cause
      )
    case SQLITE_FULL:
      return new BackendError(`The disk of the SQLite database ${path} is full. Free some space.`, cause)
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return new BackendError(
        `The SQLite database ${path} cannot be written. Give this process write permission on the file and on its folder, ` +
          'and check that the file system is not mounted read-only.',
        cause
      )
    case SQLITE_CANTOPEN:
      return new BackendError(
        `The SQLite database ${path}, or the -wal and -shm files beside it, cannot be opened. Give this process write ` +
          'permission on the folder; a folder is needed that supports shared memory (no network file system).',
        cause
      )
    case SQLITE_IOERR:
      return new BackendError(`The disk reported an error under the SQLite database ${path}.`, cause)
    case SQLITE_NOMEM:
      return new BackendError(`SQLite is out of memory (${path}).`, cause)
    case SQLITE_TOOBIG:
      return new DataError(`The session is larger than a SQLite row can be (${path}).`, cause)
    case SQLITE_SCHEMA:
      return new SchemaError(`The schema of the SQLite database ${path} was changed by somebody else.`, cause)
    default:
      return new BackendError(`The SQLite database ${path} refused: ${messageOf(error)}`, cause)
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
