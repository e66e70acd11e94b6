import assert from 'node:assert/strict'
import type { SessionServiceOptions } from '../../config/options.ts'
import type { SessionError, SessionErrorCode } from '../../core/errors.ts'
import type { DefaultSessionService } from '../../default-session-service.ts'

/** The part of a test runner that the contract needs. */
export interface ContractRunner {
  describe(name: string, body: () => void): void
  test(name: string, body: () => Promise<void>): void
}

/** One empty store, and hands that reach into it. */
export interface ContractStore {
  /** A service of its own on this store, as another node would have it. `close()` of the store closes it. */
  connect<T extends object = Record<string, unknown>>(
    options?: SessionServiceOptions<T>
  ): Promise<DefaultSessionService<T>>
  /** Shifts all stored times into the past, as if this many milliseconds had gone by for the store. */
  age(ms: number): Promise<void>
  /** Everything that the store holds, as text. */
  dump(): Promise<string>
  /** The number of stored rows (entries), tombstones among them. */
  countRows(): Promise<number>
  /** Makes the stored data of a session unreadable. */
  corrupt(id: string): Promise<void>
  close(): Promise<void>
}

export interface ContractSubject {
  readonly name: string
  /** False where only one process at a time may use a store: what takes two nodes is left out then. */
  readonly manyNodes?: boolean
  createStore(): Promise<ContractStore>
}

export class Harness {
  readonly #runner: ContractRunner
  readonly #subject: ContractSubject

  constructor(runner: ContractRunner, subject: ContractSubject) {
    this.#runner = runner
    this.#subject = subject
  }

  describe(name: string, body: () => void): void {
    this.#runner.describe(name, body)
  }

  /** A test on an empty store of its own. */
  test(name: string, body: (store: ContractStore) => Promise<void>): void {
    this.#runner.test(name, async () => {
      const store = await this.#subject.createStore()
      try {
        await body(store)
      } finally {
        await store.close()
      }
    })
  }

  /** A test that needs several nodes on one store. */
  testNodes(name: string, body: (store: ContractStore) => Promise<void>): void {
    if (this.#subject.manyNodes !== false) this.test(name, body)
  }
}

export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

export async function rejectsWith(
  code: SessionErrorCode,
  promise: Promise<unknown>,
  message?: RegExp
): Promise<SessionError> {
  let caught: unknown
  await promise.catch((error: unknown) => {
    caught = error
  })
  assert.ok(caught instanceof Error, `expected a rejection with ${code}`)
  assert.equal((caught as SessionError).code, code, String(caught))
  if (message) assert.match(caught.message, message)
  return caught as SessionError
}

export async function collect<E>(source: AsyncIterable<E>): Promise<E[]> {
  const all: E[] = []
  for await (const element of source) all.push(element)
  return all
}

/** The session, which must be there. */
export function present<S>(session: S | undefined): S {
  assert.ok(session !== undefined, 'expected a live session')
  return session
}
