import type { Contender, ContenderSetup, OpenContender } from '../harness/contender.ts'

/** Where a contender wants its sessions. */
export type Place = 'postgres' | 'redis' | 'sqlite' | 'memory'

interface Entry {
  readonly place: Place
  readonly open: OpenContender
  /** The npm package without which it is left out. */
  readonly needs?: string
}

/** By name; each is loaded in its own process only. */
export const CONTENDERS = {
  'bodhi-session on PostgreSQL': {
    place: 'postgres',
    open: async (setup) => (await import('./bodhi-session.ts')).openOnPostgres(setup)
  },
  'connect-pg-simple': {
    place: 'postgres',
    open: async (setup) => (await import('./connect-pg-simple.ts')).openConnectPgSimple(setup)
  },
  'pg, unnamed statements': {
    place: 'postgres',
    open: async (setup) => (await import('./raw-postgres.ts')).openRawPostgres(setup, 'unnamed')
  },
  'pg, named statements': {
    place: 'postgres',
    open: async (setup) => (await import('./raw-postgres.ts')).openRawPostgres(setup, 'named')
  },
  'pg, bare batches': {
    place: 'postgres',
    open: async (setup) => (await import('./bare-batches.ts')).openBareBatches(setup)
  },
  'Keyv + @keyv/postgres': {
    place: 'postgres',
    open: async (setup) => (await import('./plain-keyv.ts')).openKeyvPostgres(setup)
  },
  'connect-redis': {
    place: 'redis',
    open: async (setup) => (await import('./connect-redis.ts')).openConnectRedis(setup)
  },
  'bodhi-session on SQLite': {
    place: 'sqlite',
    open: async (setup) => (await import('./bodhi-session.ts')).openOnSqlite(setup)
  },
  'better-sqlite3-session-store': {
    place: 'sqlite',
    open: async (setup) => (await import('./better-sqlite3-session-store.ts')).openBetterSqlite3Store(setup)
  },
  'connect-sqlite3': {
    place: 'sqlite',
    needs: 'connect-sqlite3',
    open: async (setup) => (await import('./connect-sqlite3.ts')).openConnectSqlite3(setup)
  },
  'Keyv + @keyv/sqlite': {
    place: 'sqlite',
    open: async (setup) => (await import('./plain-keyv.ts')).openKeyvSqlite(setup)
  },
  'node:sqlite, prepared': {
    place: 'sqlite',
    open: async (setup) => (await import('./raw-sqlite.ts')).openNodeSqlite(setup)
  },
  'better-sqlite3, prepared': {
    place: 'sqlite',
    open: async (setup) => (await import('./raw-sqlite.ts')).openBetterSqlite3(setup)
  },
  MemoryStore: {
    place: 'memory',
    open: async () => (await import('./memory-store.ts')).openMemoryStore()
  }
} as const satisfies Record<string, Entry>

export type ContenderName = keyof typeof CONTENDERS

export function entryOf(name: ContenderName): Entry {
  return CONTENDERS[name]
}

export async function openContender(name: ContenderName, setup: ContenderSetup): Promise<Contender> {
  return entryOf(name).open(setup)
}
