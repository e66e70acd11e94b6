import type { Check } from '../harness/check.ts'
import type { Claim } from '../harness/claim.ts'
import type { Cell, RoundFigures } from '../harness/rounds.ts'
import { ALL_CELLS, type RaceResult, requireRatio, runRace, tablesOf } from './throughput.ts'

const OURS = 'bodhi-session on SQLite'
const BASE = 'better-sqlite3-session-store'

const THROUGHPUT: ReadonlyArray<Cell & { readonly must: number; readonly goal: number }> = [
  { operation: 'load', callers: 32, must: 2, goal: 2.4 },
  { operation: 'save', callers: 32, must: 1.6, goal: 2 },
  { operation: 'touch', callers: 32, must: 2, goal: 3 },
  { operation: 'create+destroy', callers: 32, must: 3, goal: 4 },
  { operation: 'mixed', callers: 32, must: 2.3, goal: 3 }
]

export const sqliteThroughput: Claim = {
  name: 'sqlite',
  title: 'Sessions in SQLite',
  async run(bench) {
    const race = await runRace(bench, {
      name: 'sqlite',
      contenders: bench.isQuick
        ? [OURS, BASE, 'Keyv + @keyv/sqlite']
        : [
            OURS,
            BASE,
            'connect-sqlite3',
            'Keyv + @keyv/sqlite',
            'node:sqlite, prepared',
            'better-sqlite3, prepared',
            'MemoryStore'
          ],
      cells: ALL_CELLS
    })
    const tables = tablesOf(race, BASE, 'SQLite')
    return { tables, checks: checksOf(race), notes: race.notes, raw: race.cells }
  }
}

function checksOf(race: RaceResult): Check[] {
  const opsPerSecond = (figures: RoundFigures) => figures.opsPerSecond
  const loopDelay = (figures: RoundFigures) => figures.loopDelayP99Ms
  const writes: readonly Cell[] = [
    { operation: 'save', callers: 32 },
    { operation: 'touch', callers: 32 }
  ]
  return [
    ...THROUGHPUT.flatMap(({ must, goal, ...cell }) => {
      const name = `SQLite ${cell.operation} c${cell.callers}, × ${BASE}`
      return requireRatio(race, OURS, BASE, cell, opsPerSecond, { name, sense: 'at least', must, goal })
    }),
    ...requireRatio(race, OURS, 'node:sqlite, prepared', { operation: 'load', callers: 32 }, opsPerSecond, {
      name: 'SQLite load c32, × node:sqlite with prepared statements',
      sense: 'at least',
      must: 0.85,
      goal: 0.95
    }),
    ...writes.flatMap((cell) => [
      ...requireRatio(race, OURS, BASE, cell, ({ p99Ms }) => p99Ms, {
        name: `SQLite ${cell.operation} c32 p99, × ${BASE}`,
        sense: 'at most',
        must: 1,
        goal: 0.5
      }),
      ...requireRatio(race, OURS, BASE, cell, loopDelay, {
        name: `SQLite ${cell.operation} c32 event-loop delay p99, × ${BASE}`,
        sense: 'at most',
        must: 1,
        goal: 0.5
      })
    ])
  ]
}
