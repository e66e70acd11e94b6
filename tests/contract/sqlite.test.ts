import { describe, test } from 'vitest'
import { sessionContract } from '../../src/testing/session-contract.ts'
import { createSqliteStore } from '../support/contract-stores.ts'

sessionContract({ describe, test }, { name: 'SQLite', createStore: createSqliteStore })
