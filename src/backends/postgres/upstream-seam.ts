import type { KeyvPostgres } from '@keyv/postgres'

/** How KeyvPostgres reaches the database; resolves to rows. */
export type UpstreamQuery = (sql: string, values?: unknown[]) => Promise<unknown[]>

/**
 * Replaces the two methods of KeyvPostgres 6.0.0-beta.4 that reach for the database. They are private to TypeScript, so a
 * subclass cannot override them in the usual way: `init` makes upstream's table as soon as the constructor runs, and
 * `connect` takes a pool that all adapters with the same URL share. This function is the only place that knows of them;
 * tests/backends/postgres/upstream-seam.test.ts fails when upstream changes them.
 */
export function overrideConnecting<S extends KeyvPostgres>(
  prototype: S,
  queryOf: (store: S) => UpstreamQuery
): void {
  Object.assign(prototype, {
    async connect(this: S): Promise<UpstreamQuery> {
      return queryOf(this)
    },
    async init(this: S): Promise<UpstreamQuery> {
      await null // upstream's constructor calls this: the fields of the subclass do not exist yet
      return queryOf(this)
    }
  })
}
