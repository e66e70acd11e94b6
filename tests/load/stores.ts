import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { createTestDatabase } from '../support/postgres.ts'

/** An empty store that several processes can open by its URL. */
export interface SharedStore extends AsyncDisposable {
  readonly url: string
  /** Runs SQL behind the back of the services. */
  execute(sql: string): Promise<ReadonlyArray<Record<string, unknown>>>
}

export const STORES = {
  async sqlite(): Promise<SharedStore> {
    const folder = await mkdtemp(join(tmpdir(), 'bodhi-session-load-'))
    const path = join(folder, 'sessions.sqlite')
    return {
      url: `sqlite:${path}`,
      async execute(sql) {
        const database = new DatabaseSync(path, { timeout: 5_000 })
        try {
          return database.prepare(sql).all()
        } finally {
          database.close()
        }
      },
      [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true })
    }
  },

  async postgres(): Promise<SharedStore> {
    const database = await createTestDatabase()
    return {
      url: database.url,
      async execute(sql) {
        const client = new pg.Client({ connectionString: database.url })
        await client.connect()
        try {
          const result: pg.QueryResult<Record<string, unknown>> = await client.query(sql)
          return result.rows
        } finally {
          await client.end()
        }
      },
      [Symbol.asyncDispose]: () => database.drop()
    }
  }
} as const

export const BACKENDS = Object.keys(STORES) as Array<keyof typeof STORES> // exactly its keys
