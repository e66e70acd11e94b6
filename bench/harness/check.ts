import { type Estimate, estimate } from './statistics.ts'

/** A figure that docs/performance.md promises. */
export interface Requirement {
  readonly name: string
  /** 'at least': more is better; 'at most': less is. */
  readonly sense: 'at least' | 'at most'
  /** Held by the near bound of the 90 % interval. */
  readonly must: number
  /** Aimed at by the median. */
  readonly goal?: number
}

export interface Check extends Requirement {
  readonly measured: Estimate
  readonly verdict: 'goal' | 'must' | 'unsure' | 'missed'
}

/**
 * 'goal': the median reaches it. 'must': the whole interval holds the must. 'unsure': the must lies within the interval:
 * the median holds it, the near bound does not. 'missed': not even the median holds it.
 */
export function check(requirement: Requirement, values: readonly number[]): Check {
  const measured = estimate(values)
  const { sense, must, goal } = requirement
  const holds = (value: number, limit: number) => (sense === 'at least' ? value >= limit : value <= limit)
  const nearBound = sense === 'at least' ? measured.low : measured.high
  let verdict: Check['verdict'] = 'missed'
  if (holds(nearBound, must)) verdict = goal !== undefined && holds(measured.median, goal) ? 'goal' : 'must'
  else if (holds(measured.median, must)) verdict = 'unsure'
  return { ...requirement, measured, verdict }
}
