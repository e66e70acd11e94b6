import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigurationError } from '../core/errors.ts'
import { parseConnectionUrl, redactUrl } from './connection-url.ts'
import { ENVIRONMENT_VARIABLES, type OptionVariable } from './environment-variables.ts'
import { describe } from './option-rules.ts'
import { type ResolvedOptions, resolveOptions, type SessionServiceOptions } from './options.ts'

const DEFAULT_PREFIX = 'BODHI_'

/** The variable with the store's URL. */
export const BODHI_SESSION_DB_URL = 'BODHI_SESSION_DB_URL'
/** The variable that says `standalone` or `cluster`. */
export const BODHI_DEPLOYMENT = 'BODHI_DEPLOYMENT'
/** The variable with the application's data folder. */
export const BODHI_HOME = 'BODHI_HOME'

/** `standalone`: one machine, any store. `cluster`: several, which only PostgreSQL can serve. */
export type DeploymentMode = 'standalone' | 'cluster'

/** Variables by name, such as `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Where {@link readEnvironment} reads, and the options that are set in code. */
export interface EnvironmentOptions<T extends object = Record<string, unknown>>
  extends SessionServiceOptions<T> {
  /**
   * The variables to read.
   * @default process.env
   */
  readonly env?: Environment | undefined
  /**
   * What the variables' names begin with, in place of `BODHI_`: letters, digits and underscores, the last one an
   * underscore.
   * @default 'BODHI_'
   */
  readonly prefix?: string | undefined
}

/**
 * What `BODHI_DEPLOYMENT` says; `standalone` where it is unset or empty.
 * @throws ConfigurationError for any other value than `standalone` and `cluster`.
 */
export function deploymentMode(
  env: Environment = process.env,
  prefix: string = DEFAULT_PREFIX
): DeploymentMode {
  const name = nameWith(prefix, BODHI_DEPLOYMENT)
  const value = read(env, name) ?? 'standalone'
  if (value !== 'standalone' && value !== 'cluster') {
    throw new ConfigurationError(`${name} must be standalone or cluster, but got ${describe(value)}.`)
  }
  return value
}

/**
 * The URL of the store: `BODHI_SESSION_DB_URL`, else `session.sqlite` in `BODHI_HOME`, else in the working folder.
 * Creates nothing.
 * @throws ConfigurationError for a URL that names no known store, and for a cluster without PostgreSQL.
 */
export function sessionDbUrl(env: Environment = process.env, prefix: string = DEFAULT_PREFIX): string {
  return storeOf(env, prefix).url
}

/**
 * Reads URL and options from the environment, and checks all of it. An option set in code wins over its variable. An
 * empty variable counts as unset; white space around a value is dropped. Variables that are not in
 * {@link ENVIRONMENT_VARIABLES} are left alone, whatever their prefix: other programs may own them.
 *
 * Creates the folder `BODHI_HOME`, with mode 0700, where the store is to lie in it.
 * @throws ConfigurationError that names the variable, what it holds and what is allowed; never a password.
 */
export function readEnvironment<T extends object = Record<string, unknown>>(
  settings: EnvironmentOptions<T> = {}
): { readonly url: string; readonly options: ResolvedOptions<T> } {
  if (typeof settings !== 'object' || settings === null) {
    throw new ConfigurationError(`The options must be an object, but got ${describe(settings)}.`)
  }
  const { env = process.env, prefix = DEFAULT_PREFIX, ...inCode } = settings
  const { url, home } = storeOf(env, prefix)
  const options = resolveWithVariables<T>(env, prefix, inCode)
  if (home !== undefined) createFolder(home, nameWith(prefix, BODHI_HOME))
  return { url, options }
}

/** The store's URL and, where the store lies in it, the data folder. */
function storeOf(env: Environment, prefix: string): { url: string; home?: string } {
  const urlName = nameWith(prefix, BODHI_SESSION_DB_URL)
  const homeName = nameWith(prefix, BODHI_HOME)
  const cluster = deploymentMode(env, prefix) === 'cluster'
  const url = read(env, urlName)
  if (url !== undefined) {
    const { backend } = parseNamed(url, urlName)
    if (cluster && backend !== 'postgres') refuseInCluster(prefix, `${urlName} is ${redactUrl(url)}`)
    return { url }
  }
  if (cluster) refuseInCluster(prefix, `${urlName} is not set`)
  const home = read(env, homeName)
  if (home === undefined) return { url: 'sqlite:session.sqlite' }
  if (/^~(?:[/\\]|$)/.test(home)) {
    throw new ConfigurationError(
      `${homeName} begins with ~, which only a shell expands, and not within quotes. Write the whole path.`
    )
  }
  const fileUrl = `sqlite:${join(home, 'session.sqlite')}`
  parseNamed(fileUrl, homeName)
  return { url: fileUrl, home }
}

function refuseInCluster(prefix: string, found: string): never {
  throw new ConfigurationError(
    `${nameWith(prefix, BODHI_DEPLOYMENT)}=cluster needs a PostgreSQL store, but ${found}. Set it, for example ` +
      `${nameWith(prefix, BODHI_SESSION_DB_URL)}=postgres://user:password@db.example.com:5432/database`
  )
}

function parseNamed(url: string, name: string) {
  try {
    return parseConnectionUrl(url)
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    throw new ConfigurationError(`${name}: ${error.message}`)
  }
}

type OptionTree = Record<string, unknown>

function resolveWithVariables<T extends object>(
  env: Environment,
  prefix: string,
  inCode: SessionServiceOptions<T>
): ResolvedOptions<T> {
  const merged: OptionTree = { ...inCode }
  const names = new Map<string, string>()
  for (const { name: defaultName, options, default: defaultValue } of ENVIRONMENT_VARIABLES) {
    const name = nameWith(prefix, defaultName)
    const text = read(env, name)
    if (text === undefined) continue
    for (const option of options) {
      if (setMissing(merged, option.split('.'), parseValue(text, defaultValue))) names.set(option, name)
    }
  }
  return resolveOptions<T>(merged, (option) => names.get(option) ?? option)
}

/** Sets the option unless the code has set it; groups are copied, never changed. */
function setMissing(tree: OptionTree, path: readonly string[], value: unknown): boolean {
  const [key = '', ...rest] = path
  const present = tree[key]
  if (rest.length === 0) {
    if (present === undefined) tree[key] = value
    return present === undefined
  }
  // What is no object is refused later, with the other invalid options.
  if (present !== undefined && (typeof present !== 'object' || present === null)) return false
  const group: OptionTree = { ...present }
  tree[key] = group
  return setMissing(group, rest, value)
}

/** Text that is not of the option's type stays text, which the option's own rule then refuses in its words. */
function parseValue(text: string, defaultValue: OptionVariable['default']): unknown {
  if (typeof defaultValue === 'number' && /^\d+$/.test(text)) return Number(text)
  if (typeof defaultValue === 'boolean' && (text === 'true' || text === 'false')) return text === 'true'
  return text
}

function read(env: Environment, name: string): string | undefined {
  const value: unknown = env[name]
  if (value === undefined) return undefined
  if (typeof value !== 'string') {
    throw new ConfigurationError(
      `${name} must be a string, as all variables are, but got ${describe(value)}.`
    )
  }
  return value.trim() || undefined
}

function nameWith(prefix: string, defaultName: string): string {
  if (typeof prefix !== 'string' || !/^[A-Za-z_][A-Za-z0-9_]*_$/.test(prefix)) {
    throw new ConfigurationError(
      'The option prefix must consist of ASCII letters, digits and underscores, not start with a digit, and end in an ' +
        `underscore, such as MYAPP_, but got ${describe(prefix)}.`
    )
  }
  return prefix + defaultName.slice(DEFAULT_PREFIX.length)
}

function createFolder(path: string, name: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw new ConfigurationError(
      `${name} names the folder ${JSON.stringify(path)}, which does not exist and cannot be created: ${String(cause)}`,
      { cause }
    )
  }
}
