import { constants } from 'node:fs'
import { access, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { BackendError, ConfigurationError } from '../../core/errors.ts'

/**
 * Sees to it that the file is there, readable and writable by its owner only where it is new: SQLite itself would create
 * it with the umask's mode, and gives -wal and -shm the mode of the database. The mode of a file that exists is its owner's
 * decision and stays.
 * @throws ConfigurationError where the path can never be a database, BackendError where rights are missing.
 */
export async function prepareDatabaseFile(path: string): Promise<void> {
  try {
    const file = await open(path, 'wx', 0o600)
    await file.close()
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw openingError(error, path)
    await checkExisting(path)
  }
}

async function checkExisting(path: string): Promise<void> {
  try {
    const stats = await stat(path)
    if (stats.isDirectory()) {
      throw new ConfigurationError(
        `The SQLite database ${path} is a folder. Name a file in it, such as ${path}/session.sqlite.`
      )
    }
    if (!stats.isFile()) {
      throw new ConfigurationError(`The SQLite database ${path} is not a regular file. Name another one.`)
    }
    await access(path, constants.R_OK | constants.W_OK)
  } catch (error) {
    throw openingError(error, path)
  }
}

function openingError(error: unknown, path: string): unknown {
  const folder = dirname(path)
  switch (codeOf(error)) {
    case 'ENOENT':
      return new ConfigurationError(
        `The folder ${folder} of the SQLite database ${path} does not exist. Create it (mkdir -p), or correct the path.`,
        { cause: error }
      )
    case 'ENOTDIR':
      return new ConfigurationError(
        `${folder}, which should be the folder of the SQLite database ${path}, is or lies below a file. Correct the path.`,
        { cause: error }
      )
    case 'ENAMETOOLONG':
    case 'ELOOP':
    case 'EISDIR':
    case 'ERR_INVALID_ARG_VALUE':
      return new ConfigurationError(`The path of the SQLite database ${path} cannot be a file's.`, {
        cause: error
      })
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new BackendError(
        `The SQLite database ${path} cannot be opened for writing (${codeOf(error)}). Give this process write permission ` +
          `on the folder ${folder} and on the file, and check that the file system is not mounted read-only.`,
        { cause: error }
      )
    case undefined:
      return error
    default:
      return new BackendError(`The SQLite database ${path} cannot be opened (${codeOf(error)}).`, {
        cause: error
      })
  }
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || error instanceof ConfigurationError) return undefined
  const { code } = error as NodeJS.ErrnoException
  return code
}
