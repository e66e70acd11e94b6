export type {
  PutOutcome,
  ReplaceOutcome,
  SessionEntry,
  SessionStorage,
  SessionTimes,
  StoragePolicy,
  StoredSession
} from '../backends/backend.ts'
export type {
  AdapterHandler,
  AdapterServer,
  AdapterSession,
  AdapterSetup,
  AdapterStore,
  AdapterSubject
} from './adapter-contract.ts'
export { adapterContract } from './adapter-contract.ts'
export { FakeClock } from './fake-clock.ts'
export { seedSessions, signIn } from './fixtures.ts'
export type { ContractRunner, ContractStore, ContractSubject } from './session-contract.ts'
export { sessionContract } from './session-contract.ts'
export type { TestSessions, TestSessionsOptions } from './test-sessions.ts'
export { createTestSessions } from './test-sessions.ts'
