/*
 * A history of operations on shared sessions, and the rules that it must keep whatever ran at the same time. Times are of
 * the machine's monotonic clock, which all processes share, so that what one was told before another asked is known.
 */

export type Operation = 'load' | 'save' | 'touch' | 'update' | 'put' | 'destroy'

export interface HistoryEvent {
  readonly token: string
  readonly operation: Operation
  /** Before the call, and after its answer: in milliseconds. */
  readonly start: number
  readonly end: number
  /** Whether there was a live session. A put says so by 'stored'. */
  readonly found: boolean
  /** The write that a load or an update found there. */
  readonly seen?: string
  /** The write that this operation made, if it was found. */
  readonly wrote?: string
}

const MAX_TOLD = 20

/** Every broken rule, in words; empty: the history is one of a correct store. */
export function brokenRules(history: readonly HistoryEvent[]): string[] {
  const broken: string[] = []
  for (const [token, events] of Map.groupBy(history, (event) => event.token)) {
    for (const rule of [endedStaysEnded, liveIsFound, newestIsVisible, noUpdateIsLost]) {
      for (const what of rule(events)) broken.push(`${token}: ${what}`)
    }
  }
  return broken.slice(0, MAX_TOLD)
}

/** Whatever starts after an acknowledged end finds nothing, and one end alone was the end. */
function* endedStaysEnded(events: readonly HistoryEvent[]): Generator<string> {
  const ends = events.filter(({ operation, found }) => operation === 'destroy' && found)
  if (ends.length > 1) yield `was ended ${ends.length} times`
  const [ending] = ends
  if (ending === undefined) return
  for (const event of events) {
    if (event.found && event.start > ending.end)
      yield `${event.operation} found it ${event.start - ending.end} ms after its acknowledged end`
  }
}

/** After an acknowledged put, and with no end under way, it is there. */
function* liveIsFound(events: readonly HistoryEvent[]): Generator<string> {
  const firstEnd = Math.min(
    ...events.filter(({ operation, found }) => operation === 'destroy' && found).map(({ start }) => start)
  )
  const born = Math.min(
    ...events.filter(({ operation, found }) => operation === 'put' && found).map(({ end }) => end)
  )
  for (const { operation, found, start, end } of events) {
    if (!found && start > born && end < firstEnd)
      yield `${operation} did not find it, though nobody had ended it`
  }
}

/** Nothing is read that was overwritten, as was acknowledged or seen, before the read began. */
function* newestIsVisible(events: readonly HistoryEvent[]): Generator<string> {
  const writes = new Map<string, { readonly start: number; visibleAt: number }>()
  for (const { wrote, found, start, end } of events) {
    if (wrote !== undefined && found) writes.set(wrote, { start, visibleAt: end })
  }
  for (const { seen, end } of events) {
    const write = seen === undefined ? undefined : writes.get(seen)
    if (write) write.visibleAt = Math.min(write.visibleAt, end)
  }
  const byVisibility = [...writes.values()].sort((a, b) => a.visibleAt - b.visibleAt)
  // For each moment: the latest start among the writes that were visible by then.
  const latestStarts: number[] = []
  for (const { start } of byVisibility) latestStarts.push(Math.max(start, latestStarts.at(-1) ?? -Infinity))

  for (const { operation, seen, start, end } of events) {
    if (seen === undefined) continue
    const write = writes.get(seen)
    if (write === undefined) {
      yield `${operation} read ${seen}, which nobody wrote`
      continue
    }
    if (write.start > end) yield `${operation} read ${seen} before it was written`
    const visible = countVisibleBefore(byVisibility, start)
    const latestStart = latestStarts[visible - 1]
    if (latestStart !== undefined && latestStart > write.visibleAt)
      yield `${operation} read ${seen}, which had been overwritten before`
  }
}

/** Each update starts from another state: two that start from the same one have lost one of their changes. */
function* noUpdateIsLost(events: readonly HistoryEvent[]): Generator<string> {
  const updates = events.filter(({ operation, found }) => operation === 'update' && found)
  for (const [seen, both] of Map.groupBy(updates, (update) => update.seen)) {
    if (both.length > 1) yield `${both.length} updates started from ${seen}`
  }
}

function countVisibleBefore(writes: ReadonlyArray<{ readonly visibleAt: number }>, moment: number): number {
  let low = 0
  let high = writes.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((writes[middle]?.visibleAt ?? Infinity) < moment) low = middle + 1
    else high = middle
  }
  return low
}
