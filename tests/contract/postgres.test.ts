import { afterAll, beforeAll, describe, test } from 'vitest'
import { sessionContract } from '../../src/testing/session-contract.ts'
import { createPostgresStores } from '../support/contract-stores.ts'

let stores: Awaited<ReturnType<typeof createPostgresStores>>

beforeAll(async () => {
  stores = await createPostgresStores()
})

afterAll(() => stores.drop())

sessionContract({ describe, test }, { name: 'PostgreSQL', createStore: () => stores.createStore() })
