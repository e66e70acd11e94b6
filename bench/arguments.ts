import { parseArgs } from 'node:util'

export interface BenchArguments {
  readonly isQuick: boolean
  /** Names of claims; empty: all, or with --quick the throughput ones. */
  readonly only: readonly string[]
  readonly rounds: number
  readonly sliceMs: number
  readonly sessions: number
  /** Whether bench/baseline.json takes these results. */
  readonly keepsBaseline: boolean
}

export const USAGE = `npm run bench -- [options]

  --quick          a first honest table in under 3 minutes: fewer contenders, sessions and rounds
  --only a,b       these claims only (see bench/claims)
  --rounds n       rounds that count; one more is run first and dropped (default 7, quick 3)
  --slice ms       how long one contender is measured at a time (default 1000, quick 200)
  --sessions n     sessions in each store at the start (default 100000, quick 20000)
  --baseline       write the summary to bench/baseline.json, which the plots and docs/performance.md quote
`

export function readArguments(args: readonly string[]): BenchArguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
      rounds: { type: 'string' },
      slice: { type: 'string' },
      sessions: { type: 'string' },
      baseline: { type: 'boolean', default: false }
    }
  })
  const isQuick = values.quick
  return {
    isQuick,
    only: values.only.split(',').filter((name) => name !== ''),
    rounds: count('rounds', values.rounds, isQuick ? 3 : 7),
    sliceMs: count('slice', values.slice, isQuick ? 200 : 1_000),
    sessions: count('sessions', values.sessions, isQuick ? 20_000 : 100_000),
    keepsBaseline: values.baseline
  }
}

function count(name: string, value: string | undefined, fallback: number): number {
  if (value === undefined) return fallback
  if (/^[1-9]\d{0,8}$/.test(value)) return Number(value)
  throw new Error(`--${name} must be a whole number, 1 or more; got ${value}`)
}
