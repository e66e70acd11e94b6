/** The middle of several measurements, and what a repetition could have given instead. */
export interface Estimate {
  readonly median: number
  /** Bounds of the 90 % interval of the median. */
  readonly low: number
  readonly high: number
}

const RESAMPLES = 2_000

/**
 * The median with its 90 % interval by bootstrap (Efron's percentile method). The resampling is seeded: the same
 * measurements always give the same interval.
 */
export function estimate(values: readonly number[]): Estimate {
  if (values.length === 0) throw new Error('Nothing was measured')
  const random = randomSource(0x5eed)
  const medians = Array.from({ length: RESAMPLES }, () =>
    median(values.map(() => values[Math.floor(random() * values.length)] ?? 0))
  ).sort((a, b) => a - b)
  const at = (share: number) => medians[Math.round(share * (RESAMPLES - 1))] ?? 0
  return { median: median(values), low: at(0.05), high: at(0.95) }
}

export function median(values: readonly number[]): number {
  return quantile(
    [...values].sort((a, b) => a - b),
    0.5
  )
}

/** Between two values, in proportion. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const position = share * (sorted.length - 1)
  const below = sorted[Math.floor(position)] ?? Number.NaN
  const above = sorted[Math.ceil(position)] ?? Number.NaN
  return below + (above - below) * (position - Math.floor(position))
}

/** Numbers in [0, 1), the same ones for the same seed (mulberry32): all contenders of a round get the same work. */
export function randomSource(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
