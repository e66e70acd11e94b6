import { totalmem } from 'node:os'
import { DatabaseSync } from 'node:sqlite'
import { BackendError } from '../../core/errors.ts'
import { migrate } from './schema.ts'

/** `full`: an acknowledged write survives power loss. `normal`: it survives a crash of the process. */
export type Durability = 'normal' | 'full'

/** Of the memory that this process may use, for pages of the database; taken as they are read. */
const CACHE_SHARE = 1 / 32
const MIN_CACHE_KIB = 16_000
/** Holds some 150,000 sessions of 1 KB. A load costs 0.8 of what it does where its page has to be read again. */
const MAX_CACHE_KIB = 256_000

/** A connection and its transactions. Everything here is synchronous; SQLITE_BUSY is thrown at once, never waited for. */
export class SqliteConnection {
  readonly database: DatabaseSync

  constructor(database: DatabaseSync) {
    this.database = database
  }

  /** Takes the write lock. */
  begin(): void {
    // Only where a rollback failed, on a disk that fails.
    if (this.database.isTransaction) this.database.exec('rollback')
    this.database.exec('begin immediate')
  }

  commit(): void {
    this.database.exec('commit')
  }

  /** Never throws: what failed before it is what callers are told, and `begin` tries again. */
  rollback(): void {
    try {
      // Some failures (a full disk, for one) have rolled back already.
      if (this.database.isTransaction) this.database.exec('rollback')
    } catch {}
  }

  close(): void {
    if (this.database.isOpen) this.database.close()
  }
}

export interface ConnectionOptions {
  readonly path: string
  readonly table: string
  readonly now: () => number
}

/** Opens and migrates: one attempt, which throws the driver's SQLITE_BUSY where another process is at it. */
export function openConnection(options: ConnectionOptions): SqliteConnection {
  const database = new DatabaseSync(options.path, { timeout: 0 })
  try {
    // Ended sessions are overwritten with zeros, not only unlinked.
    database.exec(
      `pragma secure_delete = on; pragma cache_size = -${cacheKib(usableMemory())}; pragma wal_autocheckpoint = 0`
    )
    // Before the journal mode, which is the first thing that writes: a file that is not ours stays as it is.
    migrate(database, options.table, options.path, options.now)
    if (options.path !== ':memory:') useWriteAheadLog(database, options.path)
    // The log reaches the disk through LogSync where it has to. Set last: the migration above was committed as `full`.
    database.exec('pragma synchronous = normal')
    return new SqliteConnection(database)
  } catch (error) {
    database.close()
    throw error
  }
}

/** Not mapped memory, which would end the process where the disk fails or somebody truncates the file. */
export function cacheKib(memoryBytes: number): number {
  const share = Math.floor((memoryBytes * CACHE_SHARE) / 1024)
  return Math.min(Math.max(share, MIN_CACHE_KIB), MAX_CACHE_KIB)
}

function usableMemory(): number {
  return Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY) // 0: no limit is known
}

function useWriteAheadLog(database: DatabaseSync, path: string): void {
  const mode = database.prepare('pragma journal_mode = wal').get()?.['journal_mode']
  if (mode !== 'wal') {
    throw new BackendError(
      `The SQLite database ${path} cannot use a write-ahead log (its journal mode stays ${mode}): the file system lacks ` +
        'shared memory or locks. Keep the file on a local disk.'
    )
  }
}
