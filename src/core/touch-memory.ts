import type { SessionId } from './session.ts'

/** A power of two. Two sessions that meet in one slot cost a query at the next touch of the one that came first. */
const SLOTS = 32_768
/** So many characters of an id, which is a hash, choose the slot. */
const HASHED_CHARACTERS = 4
const EXPIRES_AT = 0
const ABSOLUTE_DEADLINE = 1
const IDLE_TIMEOUT = 2
/** The session's own idle timeout, as the store has it; NaN: none. */
const OWN = 3
const NUMBERS = 4

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
 *
 * Every load comes by here, so it is a table of fixed size (about 4 MB, made when it is first needed) and not a Map of
 * objects, whose turnover in the old part of the heap cost as much again as the load.
 */
export class TouchMemory {
  readonly #lifetimes: Lifetimes
  readonly #now: () => number
  #ids: Array<SessionId | undefined> = []
  /** For each slot, on this process's monotonic clock. */
  #numbers = new Float64Array()

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
    if (this.#ids.length === 0) {
      this.#ids = new Array<SessionId | undefined>(SLOTS).fill(undefined)
      this.#numbers = new Float64Array(SLOTS * NUMBERS)
    }
    const slot = slotOf(id)
    this.#ids[slot] = id
    const { absoluteTimeoutMs, idleTimeoutMs } = this.#lifetimes
    const at = slot * NUMBERS
    this.#numbers[at + EXPIRES_AT] = askedAt + (times.expiresAt - times.now)
    this.#numbers[at + ABSOLUTE_DEADLINE] = askedAt + (times.createdAt + absoluteTimeoutMs - times.now)
    this.#numbers[at + IDLE_TIMEOUT] = times.idleTimeoutMs ?? idleTimeoutMs
    this.#numbers[at + OWN] = times.idleTimeoutMs ?? Number.NaN
  }

  forget(id: SessionId): void {
    const slot = slotOf(id)
    if (this.#ids[slot] === id) this.#ids[slot] = undefined
  }

  forgetAll(): void {
    this.#ids.fill(undefined)
  }

  /**
   * Whether a touch now would extend the session by less than `touchAfterMs`.
   * @param own The idle timeout that the touch would set; undefined: none.
   */
  sparesTouch(id: SessionId, own: number | null | undefined): boolean {
    const slot = slotOf(id)
    if (this.#ids[slot] !== id) return false
    const seen = (what: number): number => this.#numbers[slot * NUMBERS + what] ?? Number.NaN
    if (own !== undefined && !Object.is(own ?? Number.NaN, seen(OWN))) return false
    const now = this.#now()
    if (seen(EXPIRES_AT) <= now) return false
    const gain = Math.min(now + seen(IDLE_TIMEOUT), seen(ABSOLUTE_DEADLINE)) - seen(EXPIRES_AT)
    // A session with a short timeout of its own must not run out while its touches are spared.
    return gain < Math.min(this.#lifetimes.touchAfterMs, seen(IDLE_TIMEOUT) / 10)
  }
}

function slotOf(id: SessionId): number {
  let hash = 0
  for (let at = 0; at < HASHED_CHARACTERS; at++) hash = (hash * 67 + id.charCodeAt(at)) | 0
  return hash & (SLOTS - 1)
}
