import { randomBytes } from 'node:crypto'
import { link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { deploymentMode } from '../src/index.ts'
import { isSystemError, SetupError } from './setup-error.ts'

const FILE_NAME = 'session.sqlite-secret'
const MIN_LENGTH = 32

/**
 * The secret that signs the cookies: `SESSION_SECRET`, or else one that is made on the first start and kept in a file of
 * its own in `BODHI_HOME` (or the working folder), so that a restart signs nobody out. Nodes of a cluster have no common
 * folder: they must be given the same one.
 */
export async function cookieSecret(env: NodeJS.ProcessEnv): Promise<string> {
  const given = env['SESSION_SECRET']
  if (given) {
    if (given.length >= MIN_LENGTH) return given
    throw new SetupError(
      `SESSION_SECRET must have at least ${MIN_LENGTH} characters; it has ${given.length}.`
    )
  }
  if (deploymentMode(env) === 'cluster') {
    throw new SetupError('In a cluster, set SESSION_SECRET to the same secret on every node.')
  }
  const folder = env['BODHI_HOME'] || '.'
  const path = join(folder, FILE_NAME)
  const secret = (await readSecret(path)) ?? (await writeSecret(folder, path))
  if (secret.length >= MIN_LENGTH) return secret
  throw new SetupError(`${path} holds no secret. Delete it: the next start makes a new one.`)
}

async function readSecret(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined
    throw error
  }
}

/** Appears whole or not at all; where another process was faster, its secret counts. */
async function writeSecret(folder: string, path: string): Promise<string> {
  const secret = randomBytes(32).toString('base64url')
  const draft = `${path}-${process.pid}`
  await mkdir(folder, { recursive: true })
  await writeFile(draft, `${secret}\n`, { mode: 0o600 })
  try {
    await link(draft, path)
    return secret
  } catch (error) {
    if (!isSystemError(error, 'EEXIST')) throw error
    return (await readSecret(path)) ?? secret
  } finally {
    await unlink(draft)
  }
}
