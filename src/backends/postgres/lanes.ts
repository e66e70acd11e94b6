import type { UnderWay } from './overdue.ts'

/** How much may be under way at once, of one access. */
export interface LaneLimits {
  readonly lanes: number
  /**
   * Calls that outweigh what a statement costs by itself: more than these are divided among the free lanes, and fewer than
   * half do not leave beside another batch.
   */
  readonly worthwhile: number
}

/** A line whose types do not matter to the lanes. */
export interface Departure {
  readonly oldest: () => number | undefined
  readonly ready: () => number
  readonly send: (maxCalls: number) => Promise<void>
}

/** A batch that is under way. */
export interface Batch extends UnderWay {
  readonly lanes: Lanes
  readonly calls: number
}

/** The batches of one access that are under way. */
export class Lanes {
  running = 0
  slow = 0
  /** Calls in batches that are under way and not slow. */
  swiftCalls = 0
  /** The callers just answered are about to call again: a batch that leaves a moment later takes them along. */
  isCollecting = false
  readonly departures: Departure[] = []
  readonly #limits: LaneLimits
  readonly #extra: number

  constructor(limits: LaneLimits, extra: number) {
    this.#limits = limits
    this.#extra = extra
  }

  get #free(): number {
    return this.#limits.lanes + Math.min(this.slow, this.#extra) - this.running
  }

  /**
   * Whether what is ready should leave now. A few that left beside a batch would cost about as much as it, and be missing
   * in the next one. Two callers, though, do not wait for each other: they would never meet.
   */
  get canLeave(): boolean {
    if (this.#free <= 0) return false
    return this.swiftCalls <= 1 || this.ready >= Math.max(this.#limits.worthwhile, this.swiftCalls) / 2
  }

  /** How many of so many calls of one kind should leave as one batch. */
  share(calls: number): number {
    return Math.max(this.#limits.worthwhile, Math.ceil(calls / this.#free))
  }

  /** Calls of all kinds that could leave. */
  get ready(): number {
    let ready = 0
    for (const departure of this.departures) ready += departure.ready()
    return ready
  }

  /** The line whose first call has waited longest. */
  next(): Departure | undefined {
    let next: Departure | undefined
    let nextOldest = Number.POSITIVE_INFINITY
    for (const departure of this.departures) {
      const oldest = departure.oldest()
      if (oldest === undefined || oldest >= nextOldest) continue
      next = departure
      nextOldest = oldest
    }
    return next
  }
}
