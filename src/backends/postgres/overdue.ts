/** How many looks at what is under way there are within the limit; something is found late by at most one look. */
const LOOKS = 4

/**
 * Tells what is under way for longer than a limit. One timer for all of it, since a timer of its own for each statement
 * costs more than the rest of the bookkeeping; none while nothing is under way.
 */
export class Overdue<T> {
  readonly #limitMs: number
  readonly #onOverdue: (item: T) => void
  /** With the moment when each was added: the oldest comes first. */
  readonly #items = new Map<T, number>()
  #timer: NodeJS.Timeout | undefined

  /** `onOverdue` is called once for an item that was not deleted within the limit; it is no longer in here then. */
  constructor(limitMs: number, onOverdue: (item: T) => void) {
    this.#limitMs = limitMs
    this.#onOverdue = onOverdue
  }

  get size(): number {
    return this.#items.size
  }

  add(item: T): void {
    this.#items.set(item, performance.now())
    if (this.#timer === undefined) this.#watch()
  }

  /** False: it was not in here, or has been told of already. */
  delete(item: T): boolean {
    return this.#items.delete(item)
  }

  #watch(): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#look()
      if (this.#items.size > 0 && this.#timer === undefined) this.#watch()
    }, this.#limitMs / LOOKS)
    this.#timer.unref() // what is under way keeps the process alive, not this
  }

  #look(): void {
    const latest = performance.now() - this.#limitMs
    for (const [item, since] of this.#items) {
      if (since > latest) return
      this.#items.delete(item)
      this.#onOverdue(item)
    }
  }
}
