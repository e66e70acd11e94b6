import { concurrencyContract } from './contract/concurrency.ts'
import { dataContract } from './contract/data.ts'
import { endedContract } from './contract/ended.ts'
import { expiryContract } from './contract/expiry.ts'
import { inputContract } from './contract/input.ts'
import { keyvContract } from './contract/keyv.ts'
import { lifeContract } from './contract/life.ts'
import { type ContractRunner, type ContractSubject, Harness } from './contract/subject.ts'
import { userContract } from './contract/users.ts'

export type { ContractRunner, ContractStore, ContractSubject } from './contract/subject.ts'

/**
 * What every store of sessions must do, as tests for any runner: give it vitest's, jest's or node:test's `describe` and
 * `test`, and a subject that makes empty stores.
 */
export function sessionContract(runner: ContractRunner, subject: ContractSubject): void {
  const harness = new Harness(runner, subject)
  runner.describe(`session contract on ${subject.name}`, () => {
    lifeContract(harness)
    userContract(harness)
    endedContract(harness)
    expiryContract(harness)
    concurrencyContract(harness)
    dataContract(harness)
    inputContract(harness)
    keyvContract(harness)
  })
}
