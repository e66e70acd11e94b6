import type { Claim } from '../harness/claim.ts'
import { requireRatio, runRace, tablesOf } from './throughput.ts'

const OURS = 'bodhi-session on SQLite'
const BASE = 'better-sqlite3-session-store'

export const sqliteDurability: Claim = {
  name: 'sqlite-full',
  title: 'Sessions in SQLite where every write survives a power loss',
  async run(bench) {
    const race = await runRace(bench, {
      name: 'sqlite_full',
      durability: 'full',
      contenders: bench.isQuick
        ? [OURS, BASE]
        : [
            OURS,
            BASE,
            'connect-sqlite3',
            'Keyv + @keyv/sqlite',
            'node:sqlite, prepared',
            'better-sqlite3, prepared'
          ],
      cells: [
        { operation: 'save', callers: 256 },
        { operation: 'touch', callers: 256 }
      ]
    })
    const requirements = { save: { must: 4, goal: 5 }, touch: { must: 5.5, goal: 7 } }
    const checks = (['save', 'touch'] as const).flatMap((operation) => {
      const cell = { operation, callers: 256 }
      return requireRatio(race, OURS, BASE, cell, ({ opsPerSecond }) => opsPerSecond, {
        name: `SQLite, durability full, ${operation} c256, × ${BASE}`,
        sense: 'at least',
        ...requirements[operation]
      })
    })
    return {
      tables: tablesOf(race, BASE, 'SQLite, durability full'),
      checks,
      notes: race.notes,
      raw: race.cells
    }
  }
}
