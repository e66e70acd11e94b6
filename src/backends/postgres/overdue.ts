/** How many looks at what is under way there are within the limit; something is found late by at most one look. */
const LOOKS = 4
/** Items that are no longer under way are removed when there are so many of them, and a quarter of the others. */
const MIN_UNTIDY = 32
const UNTIDY_SHARE = 1 / 4

/** Something under way. Both fields are kept by {@link Overdue}. */
export interface UnderWay {
  /** When it was added, on the monotonic clock. */
  since: number
  isUnderWay: boolean
}

/**
 * Tells what is under way for longer than a limit. One timer for all of it, since a timer of its own for each statement
 * costs more than the rest of the bookkeeping; none while nothing is under way.
 *
 * An array, not a Map: each table that a busy Map leaves behind when it grows refers to the next one, so that once the
 * garbage collector has taken one for long-lived, all that passes through the Map is kept until the next full collection.
 */
export class Overdue<T extends UnderWay> {
  readonly #limitMs: number
  readonly #onOverdue: (item: T) => void
  /** The oldest first, some of them no longer under way. */
  #items: T[] = []
  #size = 0
  #timer: NodeJS.Timeout | undefined

  /** `onOverdue` is called once for an item that was not deleted within the limit; it is no longer in here then. */
  constructor(limitMs: number, onOverdue: (item: T) => void) {
    this.#limitMs = limitMs
    this.#onOverdue = onOverdue
  }

  get size(): number {
    return this.#size
  }

  add(item: T): void {
    item.since = performance.now()
    item.isUnderWay = true
    this.#items.push(item)
    this.#size++
    if (this.#timer === undefined) this.#watch()
  }

  /** False: it was not in here, or has been told of already. */
  delete(item: T): boolean {
    if (!item.isUnderWay) return false
    item.isUnderWay = false
    this.#size--
    if (this.#size === 0) this.#items.length = 0
    else if (this.#items.length > (1 + UNTIDY_SHARE) * this.#size + MIN_UNTIDY) this.#tidy()
    return true
  }

  #tidy(): void {
    this.#items = this.#items.filter(({ isUnderWay }) => isUnderWay)
  }

  #watch(): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#look()
      if (this.#size > 0 && this.#timer === undefined) this.#watch()
    }, this.#limitMs / LOOKS)
    this.#timer.unref() // what is under way keeps the process alive, not this
  }

  #look(): void {
    this.#tidy()
    const latest = performance.now() - this.#limitMs
    // Those behind them were added later. Being told, the owner may add and delete.
    for (const item of this.#items.filter(({ since }) => since <= latest)) {
      if (this.delete(item)) this.#onOverdue(item)
    }
  }
}
