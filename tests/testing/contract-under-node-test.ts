// Run by node --test, in a process of its own (runners.test.ts).
import { describe, test } from 'node:test'
import { Keyv } from 'keyv'
import { sessionContract } from '../../src/testing/index.ts'
import { keyvStore } from '../backends/keyv/keyv-store.ts'

sessionContract(
  { describe, test },
  {
    name: 'memory',
    async createStore() {
      const map = new Map<string, unknown>()
      return keyvStore(
        () => new Keyv(map),
        async () => {}
      )
    }
  }
)
