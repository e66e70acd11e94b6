import { randomInt } from 'node:crypto'

/** A reader or a writer of some keys, in the queue of each. */
export interface Turn {
  /** Without repetitions. */
  readonly keys: readonly string[]
  readonly access: 'read' | 'write'
  /** On how many of its keys others come first; kept by {@link KeyOrder}. */
  waitingFor: number
}

/** A turn in the queue of one of its keys, which is part of the list of its bucket. */
class Place<T> {
  readonly key: string
  readonly turn: T
  next: Place<T> | undefined

  constructor(key: string, turn: T) {
    this.key = key
    this.turn = turn
  }
}

/** 2048 buckets: some times the calls that are under way, so that a bucket has one key at most as a rule. */
const BUCKET_BITS = 11
/** So many characters of a key choose its bucket: keys are hashes, of which a few characters tell them apart. */
const HASHED_CHARACTERS = 8
/** Of this process alone: else somebody could choose tokens that all fall into one bucket, and be slow to find there. */
const MULTIPLIER = 2 * randomInt(2 ** 30, 2 ** 31) + 1

/**
 * First come, first served, for each key by itself: a writer has a key to itself, readers that follow one another share
 * it. Knows only who comes before whom; what a turn is used for is its owner's matter.
 *
 * A hash table of its own, not a Map, for the reason in {@link Overdue}.
 */
export class KeyOrder<T extends Turn> {
  readonly #buckets = new Array<Place<T> | undefined>(2 ** BUCKET_BITS).fill(undefined)
  readonly #onTurn: (turn: T) => void

  /** `onTurn` is called for a turn that had to wait, when it has come. */
  constructor(onTurn: (turn: T) => void) {
    this.#onTurn = onTurn
  }

  /** True: the turn has come already. */
  enter(turn: T): boolean {
    for (const key of turn.keys) {
      const bucket = bucketOf(key)
      let last: Place<T> | undefined
      let mustWait = false
      for (let place = this.#buckets[bucket]; place !== undefined; place = place.next) {
        if (place.key === key && (turn.access === 'write' || place.turn.access === 'write')) mustWait = true
        last = place
      }
      const own = new Place(key, turn)
      if (last === undefined) this.#buckets[bucket] = own
      else last.next = own
      if (mustWait) turn.waitingFor++
    }
    return turn.waitingFor === 0
  }

  /** The turn is over, or given up. */
  leave(turn: T): void {
    for (const key of turn.keys) {
      const queue = this.#sharesKey(turn, key) ? this.#queue(key) : undefined
      this.#remove(key, turn)
      if (queue === undefined) continue
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
    let last: T | undefined
    for (let place = this.#buckets[bucketOf(key)]; place !== undefined; place = place.next) {
      if (place.key === key) last = place.turn
    }
    return last
  }

  #sharesKey(turn: T, key: string): boolean {
    for (let place = this.#buckets[bucketOf(key)]; place !== undefined; place = place.next) {
      if (place.key === key && place.turn !== turn) return true
    }
    return false
  }

  #queue(key: string): T[] {
    const queue: T[] = []
    for (let place = this.#buckets[bucketOf(key)]; place !== undefined; place = place.next) {
      if (place.key === key) queue.push(place.turn)
    }
    return queue
  }

  #remove(key: string, turn: T): void {
    const bucket = bucketOf(key)
    let before: Place<T> | undefined
    for (let place = this.#buckets[bucket]; place !== undefined; place = place.next) {
      if (place.turn !== turn || place.key !== key) {
        before = place
        continue
      }
      if (before === undefined) this.#buckets[bucket] = place.next
      else before.next = place.next
      place.next = undefined // or one that the collector takes for long-lived would keep all that came after it
      return
    }
  }
}

function bucketOf(key: string): number {
  let hash = 0
  const end = Math.min(key.length, HASHED_CHARACTERS)
  for (let at = 0; at < end; at++) hash = Math.imul(hash ^ key.charCodeAt(at), MULTIPLIER)
  return hash >>> (32 - BUCKET_BITS) // the upper bits depend on all of the lower ones
}

/** How many, from the front, may go: one writer, or all readers before the first writer. */
function admitted(queue: readonly Turn[]): number {
  if (queue[0]?.access === 'write') return 1
  const writer = queue.findIndex(({ access }) => access === 'write')
  return writer < 0 ? queue.length : writer
}
