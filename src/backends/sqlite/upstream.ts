import { KeyvSqlite, type KeyvSqliteOptions } from '@keyv/sqlite'
import type { KeyvView } from '../keyv-view.ts'

/*
 * All that we rely on in @keyv/sqlite 6.0.0-beta.4 stands in this file; tests/backends/sqlite/upstream.test.ts fails with a
 * plain sentence when it no longer holds.
 *
 * Upstream's constructor starts to connect, and then creates its own table with an index on `expires`, which would halve
 * the rate of touches. Both happen after the promise of `driver.connect` (a public seam), so a driver that never connects
 * keeps all of it from happening, and leaves nothing behind: no timer, no handle, no rejection. `query` and `close`,
 * public properties that upstream sets in its constructor, are then given to our own connection.
 */
type SqliteDriver = Exclude<NonNullable<KeyvSqliteOptions['driver']>, string>

const neverConnects: SqliteDriver = {
  name: 'custom',
  connect: () => new Promise(() => {})
}

/** What ours replaces: `ready` is a promise upstream, which is made before anybody could know what went wrong with it. */
type Replaced = 'ready' | 'namespace' | 'disconnect' | keyof KeyvView

// Omit keeps TypeScript from comparing our methods with upstream's, where a `ready()` cannot stand in for a promise.
const Base = KeyvSqlite as unknown as new (options: KeyvSqliteOptions) => Omit<KeyvSqlite, Replaced>

/** KeyvSqlite on a connection of our own: an `instanceof` KeyvSqlite with its events, options and capabilities. */
export abstract class KeyvSqliteSeams extends Base {
  constructor(path: string, table: string) {
    super({ uri: `sqlite://${path}`, table, driver: neverConnects })
    // An own property of the instance would hide the method of the same name.
    Reflect.deleteProperty(this, 'ready')
    this.query = (sql, ...parameters) => this.runQuery(sql, parameters)
    this.close = () => this.disconnect()
  }

  protected abstract runQuery(sql: string, parameters: readonly unknown[]): Promise<unknown[]>
  abstract disconnect(): Promise<void>
}
