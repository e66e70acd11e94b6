import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Keyv } from 'keyv'
import { type ConnectionUrl, type KeyvScheme, redactUrl } from '../../config/connection-url.ts'
import { ConfigurationError } from '../../core/errors.ts'

type KeyvUrl = Extract<ConnectionUrl, { readonly backend: 'keyv' }>

/** A package whose default export is a class of storage adapters, and what that class wants to be given. */
interface Official {
  readonly package: string
  readonly argumentsFor: (url: string) => readonly unknown[]
}

const asGiven = (url: string) => [url]

const REDIS: Official = {
  package: '@keyv/redis',
  // Without the first, commands wait for as long as Redis is away; without the second, a failure reads as "not there".
  argumentsFor: (url) => [{ url, disableOfflineQueue: true }, { throwOnErrors: true }]
}
const MONGO: Official = { package: '@keyv/mongo', argumentsFor: asGiven }
const MEMCACHE: Official = {
  package: '@keyv/memcache',
  argumentsFor: (url) => [url.replace(/^memcached?:\/\//i, '')]
}

const OFFICIAL: Readonly<Record<KeyvScheme, Official>> = {
  redis: REDIS,
  rediss: REDIS,
  valkey: { package: '@keyv/valkey', argumentsFor: (url) => [url.replace(/^valkey:/i, 'redis:')] },
  mysql: { package: '@keyv/mysql', argumentsFor: asGiven },
  mongodb: MONGO,
  'mongodb+srv': MONGO,
  memcache: MEMCACHE,
  memcached: MEMCACHE,
  etcd: { package: '@keyv/etcd', argumentsFor: asGiven }
}

/**
 * A Keyv on the official adapter of the URL's scheme, which the application has installed.
 * @throws ConfigurationError where it is not installed, with the command that installs it, and where it refuses the URL.
 */
export async function officialKeyv({ scheme, url }: KeyvUrl): Promise<Keyv> {
  const official = OFFICIAL[scheme]
  const { default: Adapter } = await load(official.package, scheme)
  let store: unknown
  try {
    store = new Adapter(...official.argumentsFor(url))
  } catch (cause) {
    // Its message may hold the URL with its password; the cause is for whoever looks closer.
    throw new ConfigurationError(`${official.package} refused the URL ${redactUrl(url)}.`, { cause })
  }
  return new Keyv({ store })
}

interface AdapterModule {
  readonly default: new (...given: readonly unknown[]) => unknown
}

async function load(packageName: string, scheme: string): Promise<AdapterModule> {
  // From this package, or else from the application's folder: pnpm lets a package see its own dependencies only.
  const places = [
    () => import(packageName),
    async () => createRequire(join(process.cwd(), 'package.json'))(packageName)
  ]
  let missing: unknown
  for (const loadFrom of places) {
    try {
      return (await loadFrom()) as AdapterModule // what all official adapters export
    } catch (error) {
      if (!isMissing(error, packageName)) throw error
      missing = error
    }
  }
  throw new ConfigurationError(
    `${scheme}: URLs need the package ${packageName}, which is not installed. Run: npm install ${packageName}`,
    { cause: missing }
  )
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
