import type { Check } from './check.ts'
import type { BenchPostgres } from './servers.ts'

/** One thing that docs/performance.md says, and how it is measured. */
export interface Claim {
  /** For `--only` and the names of files. */
  readonly name: string
  readonly title: string
  run(bench: Bench): Promise<ClaimResult>
}

export interface ClaimResult {
  readonly tables: readonly Table[]
  readonly checks: readonly Check[]
  /** What a reader of the tables has to know. */
  readonly notes: readonly string[]
  /** Everything measured, for bench/results. */
  readonly raw: unknown
}

/** A row for each contender, a column for each thing measured; null: not measured. */
export interface Table {
  readonly title: string
  readonly columns: readonly string[]
  readonly rows: ReadonlyArray<{ readonly label: string; readonly values: ReadonlyArray<number | null> }>
}

/** What a claim is given. */
export interface Bench {
  readonly isQuick: boolean
  /** Rounds that count. */
  readonly rounds: number
  readonly sliceMs: number
  /** Sessions in the stores before anything is measured. */
  readonly sessions: number
  /** The built package. */
  readonly dist: string
  /** For files; removed at the end. */
  readonly folder: string
  /** Started when the first claim asks for it. */
  postgres(): Promise<BenchPostgres>
  progress(text: string): void
}
