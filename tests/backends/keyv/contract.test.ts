import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import KeyvRedis from '@keyv/redis'
import { KeyvSqlite } from '@keyv/sqlite'
import { Keyv } from 'keyv'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { sessionContract } from '../../../src/testing/session-contract.ts'
import { startRedis, type TestRedis } from '../../support/redis.ts'
import { keyvStore } from './keyv-store.ts'

// The services of one test are two nodes in one process: there the promises are whole (docs/any-keyv.md).

sessionContract(
  { describe, test },
  {
    name: "Keyv's memory store",
    async createStore() {
      const map = new Map<string, unknown>()
      return keyvStore(
        () => new Keyv(map),
        async () => {}
      )
    }
  }
)

sessionContract(
  { describe, test },
  {
    name: '@keyv/sqlite as it is',
    async createStore() {
      const folder = await mkdtemp(join(tmpdir(), 'bodhi-session-keyv-'))
      const adapters: KeyvSqlite[] = []
      return keyvStore(
        () => {
          const options = { uri: `sqlite://${join(folder, 'keyv.sqlite')}`, wal: true, busyTimeout: 5_000 }
          const adapter = new KeyvSqlite({ ...options, driver: 'node:sqlite' })
          adapters.push(adapter)
          return new Keyv(adapter)
        },
        async () => {
          await Promise.all(adapters.map((adapter) => adapter.disconnect()))
          await rm(folder, { recursive: true, force: true })
        }
      )
    }
  }
)

describe('with a real Redis', () => {
  let redis: TestRedis
  let stores = 0

  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis.close())

  sessionContract(
    { describe, test },
    {
      name: '@keyv/redis',
      async createStore() {
        const namespace = `store-${++stores}`
        const adapters: Array<KeyvRedis<unknown>> = []
        return keyvStore(
          () => {
            const adapter = new KeyvRedis(redis.url)
            adapters.push(adapter)
            return new Keyv(adapter, { namespace })
          },
          async () => {
            await Promise.all(adapters.map((adapter) => adapter.disconnect()))
          }
        )
      }
    }
  )
})
