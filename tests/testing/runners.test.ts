import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Keyv } from 'keyv'
import { expect, test } from 'vitest'
import { type ContractSubject, sessionContract } from '../../src/testing/index.ts'
import { keyvStore } from '../backends/keyv/keyv-store.ts'

const SUBJECT: ContractSubject = {
  name: 'memory',
  async createStore() {
    const map = new Map<string, unknown>()
    return keyvStore(
      () => new Keyv(map),
      async () => {}
    )
  }
}

/** Collects what jest would collect: `describe` calls its body at once, `test` keeps its own for later. */
function collected(subject: ContractSubject): Map<string, () => Promise<void>> {
  const tests = new Map<string, () => Promise<void>>()
  const path: string[] = []
  sessionContract(
    {
      describe(name, body) {
        path.push(name)
        body()
        path.pop()
      },
      test: (name, body) => tests.set([...path, name].join(' › '), body)
    },
    subject
  )
  return tests
}

test('the contract passes under node:test', async () => {
  const file = join(import.meta.dirname, 'contract-under-node-test.ts')
  // vitest's own variables would make the runner of the child believe that it is one of its files.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const run = promisify(execFile)(process.execPath, ['--test', '--test-reporter=tap', file], { env })
  const { stdout } = await run
  expect(stdout).toMatch(/^# fail 0$/m)
  expect(Number(/^# pass (\d+)$/m.exec(stdout)?.[1])).toBe(collected(SUBJECT).size)
})

test('the contract passes with globals such as jest has', async () => {
  const tests = collected(SUBJECT)
  expect(tests.size).toBeGreaterThan(100)
  for (const body of tests.values()) await body()
})

test('the contract fails a store that brings ended sessions back', async () => {
  const tests = collected({
    name: 'forgetful',
    async createStore() {
      class ForgetfulMap extends Map<string, unknown> {
        override set(key: string, value: unknown) {
          return key.includes('ended/') ? this : super.set(key, value)
        }
      }
      const map = new ForgetfulMap()
      return keyvStore(
        () => new Keyv(map),
        async () => {}
      )
    }
  })
  const body = tests.get(
    'session contract on forgetful › ended stays ended › after destroy no write brings the session back'
  )
  await expect(body?.()).rejects.toThrow()
})
