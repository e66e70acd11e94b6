import { join } from 'node:path'
import type { ContenderName } from '../contenders/registry.ts'
import { check } from '../harness/check.ts'
import type { Bench, Claim, ClaimResult } from '../harness/claim.ts'
import { ContenderHandle } from '../harness/contender-handle.ts'
import { multiplySessions } from '../harness/many-sessions.ts'
import { median } from '../harness/statistics.ts'
import type { Operation } from '../harness/workload.ts'
import { CONNECTIONS } from './throughput.ts'

const FEW = 10_000
const OPERATIONS: readonly Operation[] = ['load', 'save', 'touch', 'create+destroy', 'mixed']
const CALLERS = 32

const BACKENDS = {
  PostgreSQL: 'bodhi-session on PostgreSQL',
  SQLite: 'bodhi-session on SQLite'
} as const satisfies Record<string, ContenderName>
type Backend = keyof typeof BACKENDS

/** Whether an operation costs more when there are a hundred times as many sessions. */
export const growth: Claim = {
  name: 'growth',
  title: 'From 10,000 sessions to 1,000,000',
  async run(bench) {
    const many = bench.isQuick ? 100_000 : 1_000_000
    const results: Array<{
      backend: Backend
      operation: Operation
      ratios: number[]
      few: number
      many: number
    }> = []
    for (const backend of ['PostgreSQL', 'SQLite'] as const) {
      await using cleanUp = new AsyncDisposableStack()
      bench.progress(`growth: filling ${backend}`)
      const handles = {
        few: cleanUp.adopt(await openWith(bench, backend, FEW), (handle) => handle.close()),
        many: cleanUp.adopt(await openWith(bench, backend, many), (handle) => handle.close())
      }
      for (const operation of OPERATIONS) {
        const measured = { few: [] as number[], many: [] as number[] }
        for (let round = 0; round <= bench.rounds; round++) {
          bench.progress(`growth: ${operation} on ${backend}, round ${round} of ${bench.rounds}`)
          for (const size of round % 2 === 0 ? (['few', 'many'] as const) : (['many', 'few'] as const)) {
            const { opsPerSecond } = await handles[size].measure({
              operation,
              callers: CALLERS,
              durationMs: bench.sliceMs,
              seed: round
            })
            if (round > 0) measured[size].push(opsPerSecond)
          }
        }
        results.push({
          backend,
          operation,
          ratios: measured.few.map((few, round) => few / (measured.many[round] ?? Number.NaN)),
          few: median(measured.few),
          many: median(measured.many)
        })
      }
    }
    return resultOf(results, many)
  }
}

function resultOf(
  results: ReadonlyArray<{
    backend: Backend
    operation: Operation
    ratios: number[]
    few: number
    many: number
  }>,
  many: number
): ClaimResult {
  const rows = (value: (result: (typeof results)[number]) => number) =>
    (['PostgreSQL', 'SQLite'] as const).map((label) => ({
      label,
      values: results.filter(({ backend }) => backend === label).map(value)
    }))
  const columns = OPERATIONS.map((operation) => `${operation} c${CALLERS}`)
  return {
    tables: [
      {
        title: `Growth: cost of an operation at ${many.toLocaleString('en-GB')} sessions, × that at 10,000`,
        columns,
        rows: rows(({ ratios }) => median(ratios))
      },
      { title: 'Growth: operations per second at 10,000 sessions', columns, rows: rows(({ few }) => few) },
      {
        title: `Growth: operations per second at ${many.toLocaleString('en-GB')} sessions`,
        columns,
        rows: rows((result) => result.many)
      }
    ],
    checks: results.flatMap(({ backend, operation, ratios }) =>
      // The must is PostgreSQL's; SQLite reads from the file what its cache does not hold.
      backend === 'PostgreSQL'
        ? [
            check(
              {
                name: `${backend} ${operation} c${CALLERS}, cost at ${many}, × at 10,000`,
                sense: 'at most',
                must: 1.2
              },
              ratios
            )
          ]
        : []
    ),
    notes: ['Keys are chosen from all sessions alike. PostgreSQL holds both tables in shared_buffers.'],
    raw: results
  }
}

async function openWith(bench: Bench, backend: Backend, sessions: number): Promise<ContenderHandle> {
  const setup = { dist: bench.dist, connections: CONNECTIONS, durability: 'normal' as const }
  const name = BACKENDS[backend]
  if (backend === 'SQLite') {
    const handle = await ContenderHandle.open(name, {
      ...setup,
      location: join(bench.folder, `growth-${sessions}.sqlite`)
    })
    await handle.fill(sessions)
    return handle
  }
  const postgres = await bench.postgres()
  const database = `growth_${sessions}`
  const handle = await ContenderHandle.open(name, {
    ...setup,
    location: await postgres.createDatabase(database)
  })
  await handle.fill(FEW)
  if (sessions > FEW) {
    await multiplySessions(postgres, { database, table: 'bodhi_sessions' }, FEW, sessions)
    await handle.fill(sessions, false)
  } else await postgres.query(database, 'vacuum analyze')
  await postgres.query(database, 'select count(value) from bodhi_sessions')
  await handle.measure({ operation: 'touch', callers: 256, durationMs: 3 * bench.sliceMs, seed: 99 })
  return handle
}
