import type { ConnectionUrl } from '../config/connection-url.ts'
import type { ResolvedOptions } from '../config/options.ts'
import type { SessionStorage } from './backend.ts'

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
  }
}
