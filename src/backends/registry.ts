import { Keyv } from 'keyv'
import type { ConnectionUrl } from '../config/connection-url.ts'
import type { ResolvedOptions } from '../config/options.ts'
import { ConfigurationError } from '../core/errors.ts'
import { isSessionStorage, type SessionStorage } from './backend.ts'
import { KeyvSessionStorage } from './keyv/adapter.ts'

/** Loads the backend of a URL, and no other, so that a server on SQLite never loads the driver for PostgreSQL. */
export async function openStorage(
  url: ConnectionUrl,
  options: Pick<ResolvedOptions<object>, 'postgres' | 'sqlite'>
): Promise<SessionStorage> {
  switch (url.backend) {
    case 'sqlite': {
      const { SqliteSessionStorage } = await import('./sqlite/adapter.ts')
      return new SqliteSessionStorage({ path: url.path, ...options.sqlite })
    }
    case 'postgres': {
      const { PostgresSessionStorage } = await import('./postgres/adapter.ts')
      return new PostgresSessionStorage({ url: url.url, ...options.postgres })
    }
    case 'keyv': {
      const { officialKeyv } = await import('./keyv/official-adapters.ts')
      return new KeyvSessionStorage(await officialKeyv(url))
    }
  }
}

/** The sessions in a Keyv: its own store where that knows sessions, else entries kept through the Keyv. */
export function storageOf(keyv: Keyv): SessionStorage {
  const store: unknown = keyv?.store
  if (isSessionStorage(store)) return store
  if (typeof store === 'object' && store !== null && typeof keyv.encode === 'function')
    return new KeyvSessionStorage(keyv)
  throw new ConfigurationError(
    'new DefaultSessionService(keyv): the first argument must be an instance of Keyv 6. For a URL, use DefaultSessionService.connect(url).'
  )
}

/** Keyv's serialiser would alter data (it revives what looks like its own escapes) and costs most of a read. */
export function keyvOver(storage: SessionStorage): Keyv {
  return new Keyv({ store: storage, serialization: false })
}
