import type { Check } from '../harness/check.ts'
import type { Claim } from '../harness/claim.ts'
import type { Cell, RoundFigures } from '../harness/rounds.ts'
import { ALL_CELLS, type RaceResult, requireRatio, runRace, tablesOf } from './throughput.ts'

const OURS = 'bodhi-session on PostgreSQL'
const BASE = 'connect-pg-simple'

const THROUGHPUT: ReadonlyArray<Cell & { readonly must: number; readonly goal: number }> = [
  { operation: 'load', callers: 1, must: 1.5, goal: 1.9 },
  { operation: 'load', callers: 32, must: 5.5, goal: 7 },
  { operation: 'load', callers: 256, must: 6, goal: 8 },
  { operation: 'save', callers: 32, must: 4.5, goal: 6 },
  { operation: 'save', callers: 256, must: 6, goal: 9 },
  { operation: 'touch', callers: 32, must: 5, goal: 7 },
  { operation: 'touch', callers: 256, must: 9, goal: 12 },
  { operation: 'create+destroy', callers: 256, must: 5, goal: 7 },
  { operation: 'mixed', callers: 32, must: 3.5, goal: 4.5 },
  { operation: 'mixed', callers: 256, must: 5, goal: 6.5 }
]

export const postgresThroughput: Claim = {
  name: 'postgres',
  title: 'Sessions in PostgreSQL',
  async run(bench) {
    const race = await runRace(bench, {
      name: 'postgres',
      contenders: bench.isQuick
        ? [OURS, BASE, 'Keyv + @keyv/postgres']
        : [
            OURS,
            BASE,
            'pg, unnamed statements',
            'pg, named statements',
            'pg, bare batches',
            'Keyv + @keyv/postgres',
            'connect-redis'
          ],
      cells: ALL_CELLS
    })
    const tables = tablesOf(race, BASE, 'PostgreSQL')
    return { tables, checks: checksOf(race), notes: race.notes, raw: race.cells }
  }
}

function checksOf(race: RaceResult): Check[] {
  const opsPerSecond = (figures: RoundFigures) => figures.opsPerSecond
  const p99 = (figures: RoundFigures) => figures.p99Ms
  const atMost = 'at most' as const
  const atLeast = 'at least' as const
  const load = (callers: number): Cell => ({ operation: 'load', callers })
  const mixed = (callers: number): Cell => ({ operation: 'mixed', callers })
  return [
    ...THROUGHPUT.flatMap(({ must, goal, ...cell }) => {
      const name = `PostgreSQL ${cell.operation} c${cell.callers}, × ${BASE}`
      return requireRatio(race, OURS, BASE, cell, opsPerSecond, { name, sense: atLeast, must, goal })
    }),
    ...requireRatio(race, OURS, BASE, load(256), p99, {
      name: `PostgreSQL load c256 p99, × ${BASE}`,
      sense: atMost,
      must: 1 / 2,
      goal: 1 / 3
    }),
    ...requireRatio(race, OURS, BASE, load(1), p99, {
      name: `PostgreSQL load c1 p99, × ${BASE}`,
      sense: atMost,
      must: 1
    }),
    ...requireRatio(race, OURS, BASE, load(32), ({ cpuMsPer1000 }) => cpuMsPer1000, {
      name: `PostgreSQL load c32 CPU of the client, × ${BASE}`,
      sense: atMost,
      must: 1 / 4,
      goal: 1 / 5
    }),
    ...requireRatio(race, OURS, 'pg, named statements', load(1), opsPerSecond, {
      name: 'PostgreSQL load c1, × pg with named statements',
      sense: atLeast,
      must: 0.85,
      goal: 0.95
    }),
    ...requireRatio(race, OURS, BASE, mixed(256), ({ residentBytes }) => residentBytes, {
      name: `PostgreSQL mixed c256 resident memory, × ${BASE}`,
      sense: atMost,
      must: 1.8,
      goal: 1.5
    }),
    ...requireRatio(race, OURS, 'connect-redis', mixed(32), opsPerSecond, {
      name: 'PostgreSQL mixed c32, × connect-redis without persistence',
      sense: atLeast,
      must: 0.6,
      goal: 0.75
    }),
    ...requireRatio(race, OURS, 'connect-redis', mixed(256), opsPerSecond, {
      name: 'PostgreSQL mixed c256, × connect-redis without persistence',
      sense: atLeast,
      must: 0.9,
      goal: 1.5
    })
  ]
}
