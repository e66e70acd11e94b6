import { createRequire } from 'node:module'
import { ConfigurationError } from '../core/errors.ts'

const requirePeer = createRequire(import.meta.url)

/**
 * Loads a framework's package when it is first needed, so that importing an entry loads none.
 *
 * @typeParam M What the package exports, by its own types.
 * @throws ConfigurationError where it is not installed, with the command that installs it.
 */
export function loadPeer<M>(packageName: string, neededBy: string): M {
  try {
    return requirePeer(packageName) as M // the caller names the type of the package that it asks for
  } catch (error) {
    if (!isMissing(error, packageName)) throw error
    throw new ConfigurationError(
      `${neededBy} needs the package ${packageName}, which is not installed. Run: npm install ${packageName}`,
      { cause: error }
    )
  }
}

/** A module that the package itself fails to find is another matter, and must not be reported as the package's absence. */
function isMissing(error: unknown, packageName: string): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    (error.code === 'MODULE_NOT_FOUND' || error.code === 'ERR_MODULE_NOT_FOUND') &&
    error.message.includes(`'${packageName}'`)
  )
}
