import { afterAll, beforeAll, describe, test } from 'vitest'
import { type AdapterSubject, adapterContract } from '../../src/testing/adapter-contract.ts'
import { createPostgresStores, createSqliteStore } from './contract-stores.ts'

/** Runs the contract of adapters for one framework on every backend. */
export function runAdapterContract(framework: Omit<AdapterSubject, 'createStore'>): void {
  const { name } = framework
  adapterContract(
    { describe, test },
    { ...framework, name: `${name} on SQLite`, createStore: createSqliteStore }
  )

  let stores: Awaited<ReturnType<typeof createPostgresStores>>
  beforeAll(async () => {
    stores = await createPostgresStores()
  })
  afterAll(() => stores.drop())
  adapterContract(
    { describe, test },
    { ...framework, name: `${name} on PostgreSQL`, createStore: () => stores.createStore() }
  )
}
