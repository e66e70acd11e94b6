/**
 * Runs a task again and again, at moments that differ from node to node: each wait is 75 % to 125 % of the interval, the
 * first a random part of it, so that nodes which start together do not prune together. Never keeps the process alive.
 */
export class PruneTimer {
  readonly #intervalMs: number
  readonly #task: () => Promise<void>
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> = Promise.resolve()
  #stopped = false

  /**
   * @param intervalMs 0: never runs.
   * @param task Must not reject.
   */
  constructor(intervalMs: number, task: () => Promise<void>) {
    this.#intervalMs = intervalMs
    this.#task = task
    if (intervalMs > 0) this.#schedule(Math.random() * intervalMs)
  }

  /** Resolves when a run that is under way is over; none comes after it. */
  stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    return this.#running
  }

  #schedule(afterMs: number): void {
    this.#timer = setTimeout(() => {
      this.#running = this.#task().then(() => {
        if (!this.#stopped) this.#schedule(this.#intervalMs * (0.75 + Math.random() / 2))
      })
    }, afterMs)
    this.#timer.unref()
  }
}
