import { ConfigurationError } from '../core/errors.ts'

/** A clock that stands still until it is told how much time has passed. */
export class FakeClock {
  #now: number

  /** @param start Where it begins. @default the present moment */
  constructor(start: Date | number = Date.now()) {
    this.#now = whole(start instanceof Date ? start.getTime() : start, 'The start of a FakeClock')
  }

  /** Milliseconds since the epoch. */
  now(): number {
    return this.#now
  }

  /**
   * Lets so many milliseconds pass: sessions expire, touches are due, tombstones run out. Timers do not run: what has
   * expired is gone for every reader, and is removed by `pruneExpired()`.
   * @throws ConfigurationError for less than 0; no store promises anything for a clock that goes back.
   */
  advance(ms: number): void {
    if (whole(ms, 'What a FakeClock is advanced by') < 0) {
      throw new ConfigurationError(`A FakeClock only goes forward; got ${ms}.`)
    }
    this.#now += ms
  }
}

function whole(ms: number, what: string): number {
  if (Number.isSafeInteger(ms)) return ms
  throw new ConfigurationError(`${what} must be a whole number of milliseconds; got ${String(ms)}.`)
}
