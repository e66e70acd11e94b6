/**
 * Mutual exclusion by key, in the order of the calls. Turns are shared by the whole process, whatever Keyv a service
 * wraps: two services on one Redis then keep out of each other's way, even where each has a Keyv of its own. Nobody
 * needs a third key while holding two, and those are taken in one order (session, then user): so nobody deadlocks.
 */
const tails = new Map<string, Promise<void>>()

/** Runs the operation when all earlier ones of this key have settled; later ones wait for it. */
export function inTurn<R>(key: string, operation: () => Promise<R>): Promise<R> {
  const result = (tails.get(key) ?? Promise.resolve()).then(operation)
  const settled = () => {
    if (tails.get(key) === tail) tails.delete(key)
  }
  // The caller gets the failure; those who wait need only know that it is over.
  const tail = result.then(settled, settled)
  tails.set(key, tail)
  return result
}

/** Runs the operation after what was called before it, without holding up what comes later: for reads. */
export function afterTurns<R>(key: string, operation: () => Promise<R>): Promise<R> {
  const tail = tails.get(key)
  return tail === undefined ? operation() : tail.then(operation)
}
