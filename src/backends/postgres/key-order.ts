/** A reader or a writer of some keys, in the queue of each. */
export interface Turn {
  /** Without repetitions. */
  readonly keys: readonly string[]
  readonly access: 'read' | 'write'
  /** On how many of its keys others come first; kept by {@link KeyOrder}. */
  waitingFor: number
}

/**
 * First come, first served, for each key by itself: a writer has a key to itself, readers that follow one another share
 * it. Knows only who comes before whom; what a turn is used for is its owner's matter.
 */
export class KeyOrder<T extends Turn> {
  readonly #queues = new Map<string, T[]>()
  readonly #onTurn: (turn: T) => void

  /** `onTurn` is called for a turn that had to wait, when it has come. */
  constructor(onTurn: (turn: T) => void) {
    this.#onTurn = onTurn
  }

  /** True: the turn has come already. */
  enter(turn: T): boolean {
    for (const key of turn.keys) {
      const queue = this.#queues.get(key)
      if (queue === undefined) {
        this.#queues.set(key, [turn])
      } else {
        if (turn.access === 'write' || queue.some(({ access }) => access === 'write')) turn.waitingFor++
        queue.push(turn)
      }
    }
    return turn.waitingFor === 0
  }

  /** The turn is over, or given up. */
  leave(turn: T): void {
    for (const key of turn.keys) {
      const queue = this.#queues.get(key)
      if (queue === undefined) continue
      if (queue.length === 1) {
        queue.length = 0 // a table that the Map has left behind may keep the queue for long, see Overdue
        this.#queues.delete(key)
        continue
      }
      const position = queue.indexOf(turn)
      const before = admitted(queue)
      queue.splice(position, 1)
      const stillAdmitted = position < before ? before - 1 : before
      for (const next of queue.slice(stillAdmitted, admitted(queue))) {
        if (--next.waitingFor === 0) this.#onTurn(next)
      }
    }
  }

  /** The latest comer on a key. */
  last(key: string): T | undefined {
    return this.#queues.get(key)?.at(-1)
  }
}

/** How many, from the front, may go: one writer, or all readers before the first writer. */
function admitted(queue: readonly Turn[]): number {
  if (queue[0]?.access === 'write') return 1
  const writer = queue.findIndex(({ access }) => access === 'write')
  return writer < 0 ? queue.length : writer
}
