import type { ClaimResult } from './claim.ts'

/** What bench/baseline.json holds: the last full results, which the documentation quotes. */
export interface Summary {
  readonly claims: Readonly<Record<string, ClaimSummary>>
}

export type ClaimSummary = Omit<ClaimResult, 'raw'> & {
  readonly measuredAt: string
  readonly machine: string
  readonly rounds: number
  readonly sliceMs: number
  readonly sessions: number
}
