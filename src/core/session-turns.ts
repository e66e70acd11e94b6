import { AsyncLocalStorage } from 'node:async_hooks'
import type { SessionId } from './session.ts'

/**
 * Keeps the calls on one session in the order in which they were made, where one of them is an `update`: its effect comes
 * after the application's own asynchronous code, and later calls must wait for it. (Between plain calls the store keeps
 * the order.) A call made from within the `change` of an update on the same session does not wait, as it would wait
 * for itself.
 */
export class SessionTurns {
  readonly #tails = new Map<SessionId, Promise<void>>()
  readonly #changing = new AsyncLocalStorage<SessionId>()

  /** Runs the operation after the updates of this session that were called before it; at once where there are none. */
  after<R>(id: SessionId, operation: (id: SessionId) => Promise<R>): Promise<R> {
    const tail = this.#tails.size === 0 ? undefined : this.#tails.get(id)
    return tail === undefined || this.#changing.getStore() === id
      ? operation(id)
      : tail.then(() => operation(id))
  }

  /** Runs an update: after those before it, and before all calls that come later. */
  exclusive<R>(id: SessionId, operation: () => Promise<R>): Promise<R> {
    if (this.#changing.getStore() === id) return operation()
    const result = (this.#tails.get(id) ?? Promise.resolve()).then(operation)
    const settled = () => {
      if (this.#tails.get(id) === tail) this.#tails.delete(id)
    }
    // The caller of the update gets its failure; those who wait need only know that it is over.
    const tail = result.then(settled, settled)
    this.#tails.set(id, tail)
    return result
  }

  /** Runs the application's `change` so that calls on the same session from within it do not wait for it. */
  change<R>(id: SessionId, change: () => R): R {
    return this.#changing.run(id, change)
  }
}
