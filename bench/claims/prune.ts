import { setTimeout as delay } from 'node:timers/promises'
import { check } from '../harness/check.ts'
import type { Claim } from '../harness/claim.ts'
import { ContenderHandle } from '../harness/contender-handle.ts'
import { multiplySessions } from '../harness/many-sessions.ts'
import type { Figures } from '../harness/measure.ts'
import type { Pruned } from '../harness/messages.ts'
import type { BenchPostgres } from '../harness/servers.ts'
import { median } from '../harness/statistics.ts'
import { CONNECTIONS } from './throughput.ts'

const SEED_SESSIONS = 10_000
const DATABASE = 'prune'
const TABLE = 'bodhi_sessions'
/** A load that leaves the server room, as a server in use has. */
const REQUESTS_PER_SECOND = 2_000
const FIRST_LOAD_MS = 2_000
const HEAD_START_MS = 50

interface Round {
  readonly calm: Figures
  readonly pruning: Figures
  readonly pruned: Pruned
}

/** What the requests of the same node feel while it removes a tenth of all sessions. */
export const prune: Claim = {
  name: 'prune',
  title: 'Pruning under a load of requests',
  async run(bench) {
    const sessions = bench.isQuick ? 100_000 : 1_000_000
    const expired = sessions / 10
    const postgres = await bench.postgres()
    const location = await postgres.createDatabase(DATABASE)
    bench.progress('prune: filling')
    const handle = await ContenderHandle.open('bodhi-session on PostgreSQL', {
      location,
      dist: bench.dist,
      connections: CONNECTIONS,
      durability: 'normal'
    })
    await using cleanUp = new AsyncDisposableStack()
    cleanUp.defer(() => handle.close())
    await handle.fill(SEED_SESSIONS)
    await multiplySessions(postgres, { database: DATABASE, table: TABLE }, SEED_SESSIONS, sessions)
    await addExpired(postgres, sessions, expired)

    const rounds: Round[] = []
    let durationMs = FIRST_LOAD_MS
    for (let round = 0; round <= bench.rounds; round++) {
      bench.progress(`prune: round ${round} of ${bench.rounds}`)
      const measured = await measureRound(handle, round, durationMs)
      if (measured.pruned.rows !== expired)
        throw new Error(`Pruned ${measured.pruned.rows} of ${expired} sessions`)
      if (round > 0) rounds.push(measured)
      durationMs = HEAD_START_MS + measured.pruned.elapsedMs
      await addExpired(postgres, sessions, expired)
    }
    const columns = ['p50, ms', 'p99, ms', 'requests per second']
    const row = (label: string, figures: readonly Figures[]) => ({
      label,
      values: [
        median(figures.map(({ p50Ms }) => p50Ms)),
        median(figures.map(({ p99Ms }) => p99Ms)),
        median(figures.map(({ opsPerSecond }) => opsPerSecond))
      ]
    })
    return {
      tables: [
        {
          title: `PostgreSQL: ${REQUESTS_PER_SECOND} mixed requests per second while ${expired} of ${sessions + expired} sessions are pruned`,
          columns,
          rows: [
            row(
              'without pruning',
              rounds.map(({ calm }) => calm)
            ),
            row(
              'while pruning',
              rounds.map(({ pruning }) => pruning)
            )
          ]
        },
        {
          title: 'PostgreSQL: pruning itself',
          columns: ['seconds', 'sessions per second'],
          rows: [
            {
              label: 'bodhi-session',
              values: [
                median(rounds.map(({ pruned }) => pruned.elapsedMs / 1_000)),
                median(rounds.map(({ pruned }) => (pruned.rows * 1_000) / pruned.elapsedMs))
              ]
            }
          ]
        }
      ],
      checks: [
        check(
          { name: 'PostgreSQL p99 while pruning, × without', sense: 'at most', must: 1.3 },
          rounds.map(({ calm, pruning }) => pruning.p99Ms / calm.p99Ms)
        )
      ],
      notes: [
        'Requests and pruning are in one process. The load lasts as long as pruning took in the round before.'
      ],
      raw: rounds
    }
  }
}

async function measureRound(handle: ContenderHandle, round: number, durationMs: number): Promise<Round> {
  const load = () =>
    handle.measure({ operation: 'mixed', callers: 0, rate: REQUESTS_PER_SECOND, durationMs, seed: round })
  const loadWhilePruning = async () => {
    const loading = load()
    await delay(HEAD_START_MS)
    const pruned = await handle.prune()
    return { pruning: await loading, pruned }
  }
  // What has just been inserted is still being written to the disk.
  await load()
  if (round % 2 === 0) return { calm: await load(), ...(await loadWhilePruning()) }
  const measured = await loadWhilePruning()
  return { ...measured, calm: await load() }
}

/** Expired sessions among the others, as if they had come and gone with them. */
async function addExpired(postgres: BenchPostgres, sessions: number, expired: number): Promise<void> {
  const columns = await postgres.query<{ name: string }>(
    DATABASE,
    `select quote_ident(column_name) as name from information_schema.columns
      where table_name = $1 and column_name not in ('key', 'expires', 'expires_bucket')`,
    [TABLE]
  )
  const names = columns.map(({ name }) => name).join(', ')
  const anHourAgo = Date.now() - 3_600_000
  await postgres.query(
    DATABASE,
    `insert into ${TABLE} (key, expires, expires_bucket, ${names})
      select 'expired ' || key, ${anHourAgo}, ${Math.floor(anHourAgo / 60_000)}, ${names}
      from ${TABLE} where hashtext(key) % ${Math.floor((0.8 * sessions) / expired)} = 0 and key not like 'expired%'
      limit ${expired}`
  )
  await postgres.query(DATABASE, `vacuum analyze ${TABLE}`)
  await postgres.query('postgres', 'checkpoint')
}
