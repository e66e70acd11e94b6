import { randomBytes } from 'node:crypto'
import { KeyvPostgres } from '@keyv/postgres'
import { KeyvSqlite } from '@keyv/sqlite'
import { Keyv } from 'keyv'
import type { BenchData, Contender, ContenderSetup } from '../harness/contender.ts'

const DAY_MS = 86_400_000

export async function openKeyvPostgres({ location, connections }: ContenderSetup): Promise<Contender> {
  return plainKeyv(new Keyv({ store: new KeyvPostgres({ uri: location, max: connections }) }))
}

export async function openKeyvSqlite({ location, durability }: ContenderSetup): Promise<Contender> {
  const store = new KeyvSqlite({ uri: `sqlite://${location}`, wal: true, driver: 'node:sqlite' })
  // As on the other side; the default of node:sqlite is FULL.
  await store.query(`pragma synchronous = ${durability}`)
  return plainKeyv(new Keyv({ store }))
}

/** Keyv as it comes, its serialiser included. It has no touch: sessions on it are extended by a set. */
function plainKeyv(keyv: Keyv): Contender {
  // Without a listener a failure throws: a store that answers nothing must not look fast.
  const save = (key: string, data: BenchData) => keyv.set(key, data, DAY_MS)
  return {
    async fill(entries) {
      const batch = entries.map(([key, value]) => ({ key, value, ttl: DAY_MS }))
      await keyv.setMany(batch)
    },
    load: (key) => keyv.get(key),
    save,
    touch: (key, _cookie, data) => save(key, data()),
    async create(data) {
      const key = randomBytes(24).toString('base64url')
      await save(key, data)
      return key
    },
    destroy: (key) => keyv.delete(key),
    close: async () => {
      await keyv.disconnect()
    }
  }
}
