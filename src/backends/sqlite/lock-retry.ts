const SHORTEST_MS = 1
const LONGEST_MS = 8

/** How long to wait before asking for a lock again: doubling, and jittered so that processes do not meet each time. */
export function lockRetryDelayMs(attempt: number): number {
  const ceiling = Math.min(LONGEST_MS, SHORTEST_MS * 2 ** Math.min(attempt, 10))
  return ceiling * (0.5 + Math.random() / 2)
}
