import type { SessionId } from './session.ts'

/** About 10 MB at the most; the oldest make room, and merely cost a query at their next touch. */
const MAX_SESSIONS = 50_000

/** What a load or write told about a session, on this process's monotonic clock. */
interface Remembered {
  readonly expiresAt: number
  readonly absoluteDeadline: number
  readonly idleTimeoutMs: number
  /** The session's own idle timeout, as the store has it. */
  readonly own: number | null
}

/** What every answer of a store about a live session tells. */
export interface SeenTimes {
  readonly createdAt: number
  readonly expiresAt: number
  /** The session's own idle timeout; null: the service's. */
  readonly idleTimeoutMs: number | null
  /** The store's clock when it answered. */
  readonly now: number
}

/** The lifetimes that a service was configured with, in milliseconds. */
export interface Lifetimes {
  readonly idleTimeoutMs: number
  readonly absoluteTimeoutMs: number
  readonly touchAfterMs: number
}

/**
 * Knows which touches would gain too little to be worth a query. It only ever errs towards a query: times count from the
 * moment before the store was asked, and what it does not know it does not spare.
 */
export class TouchMemory {
  readonly #lifetimes: Lifetimes
  readonly #now: () => number
  readonly #sessions = new Map<SessionId, Remembered>()

  constructor(lifetimes: Lifetimes, now: () => number) {
    this.#lifetimes = lifetimes
    this.#now = now
  }

  /** The moment to hand to `remember`; taken before the store is asked. */
  now(): number {
    return this.#now()
  }

  remember(id: SessionId, times: SeenTimes, askedAt: number): void {
    if (this.#lifetimes.touchAfterMs === 0) return
    this.#sessions.delete(id) // so that the map stays in the order of use
    this.#sessions.set(id, {
      expiresAt: askedAt + (times.expiresAt - times.now),
      absoluteDeadline: askedAt + (times.createdAt + this.#lifetimes.absoluteTimeoutMs - times.now),
      idleTimeoutMs: times.idleTimeoutMs ?? this.#lifetimes.idleTimeoutMs,
      own: times.idleTimeoutMs
    })
    if (this.#sessions.size > MAX_SESSIONS) {
      for (const oldest of this.#sessions.keys()) {
        this.#sessions.delete(oldest)
        break
      }
    }
  }

  forget(id: SessionId): void {
    this.#sessions.delete(id)
  }

  forgetAll(): void {
    this.#sessions.clear()
  }

  /**
   * Whether a touch now would extend the session by less than `touchAfterMs`.
   * @param own The idle timeout that the touch would set; undefined: none.
   */
  sparesTouch(id: SessionId, own: number | null | undefined): boolean {
    const seen = this.#sessions.get(id)
    if (seen === undefined || (own !== undefined && own !== seen.own)) return false
    const now = this.#now()
    if (seen.expiresAt <= now) return false
    const gain = Math.min(now + seen.idleTimeoutMs, seen.absoluteDeadline) - seen.expiresAt
    // A session with a short timeout of its own must not run out while its touches are spared.
    return gain < Math.min(this.#lifetimes.touchAfterMs, seen.idleTimeoutMs / 10)
  }
}
