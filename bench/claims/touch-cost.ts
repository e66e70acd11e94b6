import { setTimeout as delay } from 'node:timers/promises'
import { check } from '../harness/check.ts'
import type { Bench, Claim } from '../harness/claim.ts'
import { ContenderHandle } from '../harness/contender-handle.ts'
import type { BenchPostgres } from '../harness/servers.ts'
import { median } from '../harness/statistics.ts'
import { CONNECTIONS } from './throughput.ts'

const CONTENDERS = ['bodhi-session on PostgreSQL', 'connect-pg-simple'] as const
type Name = (typeof CONTENDERS)[number]

interface WalCost {
  readonly bytesPerTouch: number
  /** Whole pages, which follow a checkpoint. */
  readonly pages: number
}

/** After this long an idle connection has told the statistics all that it did (PGSTAT_IDLE_INTERVAL, 10 s). */
const STATISTICS_SETTLE_MS = 11_000

/** How much of a touch PostgreSQL has to write: whether indexes are left alone (HOT), and bytes of write-ahead log. */
export const touchCost: Claim = {
  name: 'touch-cost',
  title: 'What a touch costs PostgreSQL',
  async run(bench) {
    const postgres = await bench.postgres()
    await using cleanUp = new AsyncDisposableStack()
    const handles: Array<{ name: Name; database: string; handle: ContenderHandle }> = []
    for (const [n, name] of CONTENDERS.entries()) {
      const database = `touch_cost_${n}`
      const location = await postgres.createDatabase(database)
      const handle = await ContenderHandle.open(name, {
        location,
        dist: bench.dist,
        connections: CONNECTIONS,
        durability: 'normal'
      })
      cleanUp.defer(() => handle.close())
      bench.progress(`filling ${name}`)
      await handle.fill(bench.sessions)
      await postgres.query(database, 'vacuum analyze')
      handles.push({ name, database, handle })
    }
    await postgres.query('postgres', 'checkpoint')
    // The first change of a page after a checkpoint writes the whole page: most pages get theirs now.
    for (const { handle } of handles)
      await handle.measure({ operation: 'touch', callers: 256, durationMs: 10 * bench.sliceMs, seed: 99 })
    const wal: Record<Name, WalCost[]> = { 'bodhi-session on PostgreSQL': [], 'connect-pg-simple': [] }
    const before: Partial<Record<Name, Updates>> = {}
    for (let round = 0; round <= bench.rounds; round++) {
      bench.progress(`touch-cost: round ${round} of ${bench.rounds}`)
      for (const { name, database, handle } of handles) {
        const cost = await measureTouches(bench, postgres, database, handle, round)
        if (round > 0) wal[name].push(cost)
      }
      if (round > 0) continue
      await delay(STATISTICS_SETTLE_MS)
      for (const { name, database } of handles) before[name] = await updatesOf(postgres, database)
    }
    await delay(STATISTICS_SETTLE_MS)
    const hotShare: Record<Name, number> = { 'bodhi-session on PostgreSQL': 0, 'connect-pg-simple': 0 }
    for (const { name, database } of handles) {
      const after = await updatesOf(postgres, database)
      const { all = 0, hot = 0 } = before[name] ?? {}
      hotShare[name] = (100 * (after.hot - hot)) / (after.all - all)
    }
    return {
      tables: [
        {
          title: 'PostgreSQL: what a touch costs',
          columns: ['HOT share, %', 'WAL per touch, bytes', 'whole pages in the WAL'],
          rows: CONTENDERS.map((label) => ({
            label,
            values: [
              hotShare[label],
              median(wal[label].map(({ bytesPerTouch }) => bytesPerTouch)),
              median(wal[label].map(({ pages }) => pages))
            ]
          }))
        }
      ],
      checks: [
        check({ name: 'PostgreSQL touches that are HOT, %', sense: 'at least', must: 98 }, [
          hotShare['bodhi-session on PostgreSQL']
        ]),
        check(
          { name: 'PostgreSQL WAL per touch, × connect-pg-simple', sense: 'at most', must: 0.7 },
          wal['bodhi-session on PostgreSQL'].map(
            ({ bytesPerTouch }, round) =>
              bytesPerTouch / (wal['connect-pg-simple'][round]?.bytesPerTouch ?? Number.NaN)
          )
        )
      ],
      notes: ['Touches at 32 callers, spread over all sessions, expiries spread over an hour.'],
      raw: { wal, hotShare }
    }
  }
}

async function measureTouches(
  bench: Bench,
  postgres: BenchPostgres,
  database: string,
  handle: ContenderHandle,
  seed: number
): Promise<WalCost> {
  const before = await walOf(postgres, database)
  const durationMs = bench.sliceMs * 2
  const { operations } = await handle.measure({ operation: 'touch', callers: 32, durationMs, seed })
  const after = await walOf(postgres, database)
  return { bytesPerTouch: (after.bytes - before.bytes) / operations, pages: after.pages - before.pages }
}

interface Updates {
  readonly all: number
  readonly hot: number
}

async function updatesOf(postgres: BenchPostgres, database: string): Promise<Updates> {
  const [row] = await postgres.query<Record<keyof Updates, string>>(
    database,
    'select sum(n_tup_upd) as "all", sum(n_tup_hot_upd) as hot from pg_stat_user_tables'
  )
  return { all: Number(row?.all), hot: Number(row?.hot) }
}

async function walOf(postgres: BenchPostgres, database: string): Promise<{ bytes: number; pages: number }> {
  const [row] = await postgres.query<{ bytes: string; pages: string }>(
    database,
    `select pg_current_wal_insert_lsn() - '0/0' as bytes, (select wal_fpi from pg_stat_wal) as pages`
  )
  return { bytes: Number(row?.bytes), pages: Number(row?.pages) }
}
