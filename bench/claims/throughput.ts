import { createRequire } from 'node:module'
import { join } from 'node:path'
import { CONTENDERS, type ContenderName, entryOf } from '../contenders/registry.ts'
import { type Check, check, type Requirement } from '../harness/check.ts'
import type { Bench, Table } from '../harness/claim.ts'
import type { ContenderSetup } from '../harness/contender.ts'
import { ContenderHandle } from '../harness/contender-handle.ts'
import { type Cell, type CellFigures, type RoundFigures, ratios, runRounds } from '../harness/rounds.ts'
import { startRedis } from '../harness/servers.ts'
import { median } from '../harness/statistics.ts'
import { OPERATIONS } from '../harness/workload.ts'

/** What the claims about speed have in common: contenders side by side, a table for each figure. */

export const CONNECTIONS = 10
export const ALL_CELLS: readonly Cell[] = OPERATIONS.flatMap((operation) =>
  [1, 32, 256].map((callers) => ({ operation, callers }))
)

export interface Race {
  readonly name: string
  readonly contenders: readonly ContenderName[]
  readonly cells: readonly Cell[]
  readonly durability?: ContenderSetup['durability']
  readonly sessions?: number
}

export interface RaceResult {
  readonly cells: readonly CellFigures[]
  readonly notes: readonly string[]
}

export async function runRace(bench: Bench, race: Race): Promise<RaceResult> {
  await using cleanUp = new AsyncDisposableStack()
  const notes: string[] = []
  const sessions = race.sessions ?? bench.sessions
  const handles: ContenderHandle[] = []
  let serverPid: number | undefined
  for (const name of race.contenders) {
    const { place, needs } = entryOf(name)
    if (needs !== undefined && !isInstalled(needs)) {
      notes.push(`${name} is not installed, and was left out.`)
      continue
    }
    let location = ''
    if (place === 'postgres') {
      const postgres = await bench.postgres()
      serverPid = postgres.pid
      location = await postgres.createDatabase(`${race.name}_${Object.keys(CONTENDERS).indexOf(name)}`)
    } else if (place === 'redis') {
      const redis = await startRedis()
      if (redis === undefined) {
        notes.push(`redis-server is not installed: ${name} was left out.`)
        continue
      }
      cleanUp.use(redis)
      location = redis.url
    } else if (place === 'sqlite') {
      location = join(bench.folder, `${race.name}-${handles.length}.sqlite`)
    }
    bench.progress(`filling ${name}`)
    const durability = race.durability ?? 'normal'
    const setup = { location, dist: bench.dist, connections: CONNECTIONS, durability }
    let handle = await ContenderHandle.open(name, setup)
    await handle.fill(sessions)
    if (place !== 'memory') {
      // Another process than the one that has filled it, whose memory is that of 100,000 sessions written at once.
      await handle.close()
      handle = await ContenderHandle.open(name, setup)
      await handle.fill(sessions, false)
    }
    const measured = handle
    cleanUp.defer(() => measured.close())
    if (place === 'postgres') {
      const postgres = await bench.postgres()
      await postgres.query(new URL(location).pathname.slice(1), 'vacuum analyze')
      await postgres.query('postgres', 'checkpoint')
    }
    handles.push(handle)
  }
  const cells = await runRounds({
    cells: race.cells,
    contenders: handles,
    rounds: bench.rounds,
    sliceMs: bench.sliceMs,
    ...(serverPid === undefined ? {} : { serverPid }),
    onProgress: ({ operation, callers }, round) =>
      bench.progress(`${race.name}: ${operation} at ${callers} callers, round ${round} of ${bench.rounds}`)
  })
  return { cells, notes }
}

export function requireRatio(
  { cells }: RaceResult,
  contender: ContenderName,
  base: ContenderName,
  cell: Cell,
  figure: (figures: RoundFigures) => number,
  requirement: Requirement
): Check[] {
  const found = cells.find(
    ({ operation, callers }) => operation === cell.operation && callers === cell.callers
  )
  if (found === undefined) return []
  const values = ratios(found, contender, base, figure)
  return values.length === 0 ? [] : [check(requirement, values)]
}

/** A table of ratios of throughput, and one for each figure. */
export function tablesOf({ cells }: RaceResult, base: ContenderName, title: string): Table[] {
  const columns = cells.map(({ operation, callers }) => `${operation} c${callers}`)
  const names = Object.keys(cells[0]?.rounds ?? {}) as ContenderName[] // as runRounds wrote them
  const sorted = (Object.keys(CONTENDERS) as ContenderName[]).filter((name) => names.includes(name))
  const table = (
    subject: string,
    value: (cell: CellFigures, name: ContenderName) => number | null
  ): Table => ({
    title: `${title}: ${subject}`,
    columns,
    rows: sorted.map((label) => ({ label, values: cells.map((cell) => value(cell, label)) }))
  })
  const medianOf = (figure: (figures: RoundFigures) => number | undefined) => {
    return (cell: CellFigures, name: ContenderName) => {
      const values = (cell.rounds[name] ?? []).map(figure).filter((value) => value !== undefined)
      return values.length === 0 ? null : median(values)
    }
  }
  return [
    table(`operations per second, as a multiple of ${base}`, (cell, name) =>
      median(ratios(cell, name, base, ({ opsPerSecond }) => opsPerSecond))
    ),
    table(
      'operations per second',
      medianOf(({ opsPerSecond }) => opsPerSecond)
    ),
    table(
      'p50, ms',
      medianOf(({ p50Ms }) => p50Ms)
    ),
    table(
      'p99, ms',
      medianOf(({ p99Ms }) => p99Ms)
    ),
    table(
      'CPU of the client, ms per 1,000 operations',
      medianOf(({ cpuMsPer1000 }) => cpuMsPer1000)
    ),
    table(
      'CPU of the server, ms per 1,000 operations',
      medianOf(({ serverCpuMsPer1000 }) => serverCpuMsPer1000)
    ),
    table(
      'event-loop delay p99, ms',
      medianOf(({ loopDelayP99Ms }) => loopDelayP99Ms)
    ),
    table(
      'resident memory, MB',
      medianOf(({ residentBytes }) => residentBytes / 1e6)
    )
  ].filter(({ rows }) => rows.some(({ values }) => values.some((value) => value !== null)))
}

export function isInstalled(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(name)
    return true
  } catch {
    return false
  }
}
