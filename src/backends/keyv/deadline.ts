import { BackendUnavailableError } from '../../core/errors.ts'

/** Beyond this many operations without an answer, waiting longer only fills the memory. */
const MAX_UNDER_WAY = 10_000

/**
 * Gives up waiting for a store that does not answer: some Keyv adapters queue commands while they are disconnected, and
 * never fail them. An operation that has been given up before its turn came does not run any more; one that had begun
 * goes on in the background (its turn is not over until it settles), so that it does not stop between two entries.
 */
export class Deadline {
  readonly #timeoutMs: number
  #underWay = 0

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
  }

  /**
   * @param operation Gets a function that tells whether the caller is gone, to be asked before it begins.
   * @throws BackendUnavailableError after the time-out, and at once where too many operations are under way.
   */
  async limit<R>(operation: (givenUp: () => boolean) => Promise<R>): Promise<R> {
    if (this.#underWay >= MAX_UNDER_WAY) {
      throw new BackendUnavailableError(`${MAX_UNDER_WAY} operations are waiting for the Keyv store already.`)
    }
    this.#underWay++
    let late = false
    const running = operation(() => late).finally(() => {
      this.#underWay--
    })
    const { promise: expired, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => {
      late = true
      reject(new BackendUnavailableError(`The Keyv store gave no answer within ${this.#timeoutMs} ms.`))
    }, this.#timeoutMs)
    try {
      return await Promise.race([running, expired])
    } finally {
      clearTimeout(timer)
    }
  }
}
