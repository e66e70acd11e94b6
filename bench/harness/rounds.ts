import type { ContenderName } from '../contenders/registry.ts'
import type { ContenderHandle } from './contender-handle.ts'
import type { Figures, Slice } from './measure.ts'
import { cpuOfFamilyMs } from './process-cpu.ts'
import type { Operation } from './workload.ts'

/** One row of a table: an operation at a number of callers. */
export interface Cell {
  readonly operation: Operation
  readonly callers: number
}

export type RoundFigures = Figures & {
  /** CPU of the database server per 1,000 operations, where it can be told. */
  readonly serverCpuMsPer1000?: number
}

/** All rounds of one cell, the dropped one left out: the n-th of each contender ran side by side. */
export type CellFigures = Cell & { readonly rounds: Readonly<Partial<Record<ContenderName, RoundFigures[]>>> }

export interface RoundOptions {
  readonly cells: readonly Cell[]
  readonly contenders: readonly ContenderHandle[]
  /** Rounds that count; one more is run first and dropped, as it warms up. */
  readonly rounds: number
  readonly sliceMs: number
  /** The postmaster, for the CPU of the server. */
  readonly serverPid?: number
  readonly onProgress: (cell: Cell, round: number) => void
}

/**
 * Measures every contender in every round, in an order that moves on by one from round to round: whatever else happens on
 * the machine then meets all of them alike.
 */
export async function runRounds(options: RoundOptions): Promise<CellFigures[]> {
  const { contenders } = options
  const results: CellFigures[] = []
  for (const cell of options.cells) {
    const rounds: Partial<Record<ContenderName, RoundFigures[]>> = {}
    for (let round = 0; round <= options.rounds; round++) {
      options.onProgress(cell, round)
      for (let turn = 0; turn < contenders.length; turn++) {
        const contender = contenders[(turn + round) % contenders.length]
        if (contender === undefined) continue
        const slice = { ...cell, durationMs: options.sliceMs, seed: round + 1 }
        const figures = await measureWithServer(contender, slice, options.serverPid)
        rounds[contender.name] = [...(rounds[contender.name] ?? []), ...(round > 0 ? [figures] : [])]
      }
    }
    results.push({ ...cell, rounds })
  }
  return results
}

async function measureWithServer(
  contender: ContenderHandle,
  slice: Slice,
  serverPid: number | undefined
): Promise<RoundFigures> {
  const before = serverPid && cpuOfFamilyMs(serverPid)
  const figures = await contender.measure(slice)
  const after = serverPid && cpuOfFamilyMs(serverPid)
  if (before === undefined || after === undefined) return figures
  return { ...figures, serverCpuMsPer1000: ((after - before) * 1_000) / Math.max(figures.operations, 1) }
}

/** The ratios of two contenders, round by round. */
export function ratios(
  { rounds }: CellFigures,
  contender: ContenderName,
  base: ContenderName,
  figure: (figures: RoundFigures) => number
): number[] {
  const own = rounds[contender] ?? []
  const others = rounds[base] ?? []
  return own.flatMap((figures, round) => {
    const other = others[round]
    return other === undefined ? [] : [figure(figures) / figure(other)]
  })
}
