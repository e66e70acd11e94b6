import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type SessionKind, SIGN_IN_PATH } from '../frameworks/application.ts'
import type { Bench, Claim, Table } from '../harness/claim.ts'
import { type HttpFigures, runHttpLoad, signIn } from '../harness/http-load.ts'
import { cpuOfFamilyMs } from '../harness/process-cpu.ts'
import { median } from '../harness/statistics.ts'

const FRAMEWORKS = ['Express', 'Koa', 'Fastify', 'Hono', 'node:http'] as const
type Framework = (typeof FRAMEWORKS)[number]
/** For Hono and plain node:http there is no store that most would take. */
const WITH_USUAL_STORE: readonly Framework[] = ['Express', 'Koa', 'Fastify']
const CONNECTIONS = 64
const SESSIONS = 500

const VARIANTS = [
  { label: 'no session', kind: 'none', place: undefined },
  { label: 'bodhi-session on SQLite', kind: 'ours', place: 'sqlite' },
  { label: 'better-sqlite3-session-store', kind: 'usual', place: 'sqlite' },
  { label: 'bodhi-session on PostgreSQL', kind: 'ours', place: 'postgres' },
  { label: 'connect-pg-simple', kind: 'usual', place: 'postgres' }
] as const satisfies ReadonlyArray<{
  label: string
  kind: SessionKind
  place: 'sqlite' | 'postgres' | undefined
}>
type Variant = (typeof VARIANTS)[number]

type Measured = HttpFigures & { readonly cpuUsPerRequest: number | undefined }
type Results = Record<string, Partial<Record<Variant['label'], Measured[]>>>

interface RunningServer extends AsyncDisposable {
  readonly variant: Variant
  readonly pid: number
  readonly port: number
  readonly cookies: readonly string[]
}

/** What a request of somebody who is signed in costs, beside the same request without sessions. */
export const frameworks: Claim = {
  name: 'frameworks',
  title: 'Requests per second of each framework',
  async run(bench) {
    const results: Results = {}
    for (const framework of FRAMEWORKS) {
      await using cleanUp = new AsyncDisposableStack()
      const servers: RunningServer[] = []
      for (const variant of VARIANTS) {
        if (variant.kind === 'usual' && !WITH_USUAL_STORE.includes(framework)) continue
        servers.push(cleanUp.use(await startServer(bench, framework, variant)))
      }
      results[framework] = await runRounds(bench, framework, servers)
    }
    return {
      tables: tablesOf(results),
      checks: [],
      notes: [
        `Each request is of one of ${SESSIONS} signed-in sessions of about 1 KB, over ${CONNECTIONS} connections; it reads the session and answers. All with their defaults: ours spares touches that would gain less than a minute.`,
        'Client and server share the machine.'
      ],
      raw: results
    }
  }
}

async function runRounds(bench: Bench, framework: string, servers: readonly RunningServer[]) {
  const measured: Partial<Record<Variant['label'], Measured[]>> = {}
  for (let round = 0; round <= bench.rounds; round++) {
    bench.progress(`frameworks: ${framework}, round ${round} of ${bench.rounds}`)
    for (let turn = 0; turn < servers.length; turn++) {
      const server = servers[(turn + round) % servers.length]
      if (server === undefined) continue
      const before = cpuOfFamilyMs(server.pid)
      const figures = await runHttpLoad({
        port: server.port,
        path: '/',
        cookies: server.cookies,
        connections: CONNECTIONS,
        durationMs: bench.sliceMs,
        expects: server.variant.kind === 'none' ? '"items":0' : '"items":12'
      })
      const after = cpuOfFamilyMs(server.pid)
      const cpuUsPerRequest =
        before === undefined || after === undefined
          ? undefined
          : ((after - before) * 1_000) / figures.requests
      if (round === 0) continue
      const { label } = server.variant
      measured[label] = [...(measured[label] ?? []), { ...figures, cpuUsPerRequest }]
    }
  }
  return measured
}

function tablesOf(results: Results): Table[] {
  const table = (
    subject: string,
    value: (rounds: readonly Measured[], without: readonly Measured[]) => number
  ): Table => ({
    title: `Frameworks: ${subject}`,
    columns: FRAMEWORKS,
    rows: VARIANTS.map(({ label }) => ({
      label,
      values: FRAMEWORKS.map((framework) => {
        const rounds = results[framework]?.[label]
        const without = results[framework]?.['no session'] ?? []
        return rounds === undefined ? null : value(rounds, without)
      })
    }))
  })
  return [
    table('requests per second, as a share of those without sessions', (rounds, without) =>
      median(
        rounds.map(
          ({ requestsPerSecond }, n) => requestsPerSecond / (without[n]?.requestsPerSecond ?? Number.NaN)
        )
      )
    ),
    table('requests per second', (rounds) =>
      median(rounds.map(({ requestsPerSecond }) => requestsPerSecond))
    ),
    table('p99, ms', (rounds) => median(rounds.map(({ p99Ms }) => p99Ms))),
    table('CPU of the server process, µs per request', (rounds) =>
      median(rounds.map(({ cpuUsPerRequest }) => cpuUsPerRequest ?? Number.NaN))
    )
  ]
}

async function startServer(bench: Bench, framework: Framework, variant: Variant): Promise<RunningServer> {
  const child = fork(
    fileURLToPath(new URL('../frameworks/server-main.ts', import.meta.url)),
    [framework, variant.kind, await locationOf(bench, framework, variant), bench.dist],
    { execArgv: ['--disable-warning=ExperimentalWarning'], env: { ...process.env, NODE_ENV: 'production' } }
  )
  const port = await portOf(child)
  const cookies = variant.kind === 'none' ? ['session=none'] : await signIn(port, SIGN_IN_PATH, SESSIONS)
  if (variant.kind !== 'none' && cookies.length !== SESSIONS)
    throw new Error(
      `${framework} with ${variant.label} has set ${cookies.length} cookies for ${SESSIONS} sign-ins`
    )
  return {
    variant,
    pid: child.pid ?? 0,
    port,
    cookies,
    async [Symbol.asyncDispose]() {
      const exited = once(child, 'exit')
      child.disconnect()
      await exited
    }
  }
}

function portOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('message', (port) => resolve(Number(port)))
    child.once('exit', (code) => reject(new Error(`A server has ended with code ${code}`)))
  })
}

async function locationOf(bench: Bench, framework: Framework, { place, kind }: Variant): Promise<string> {
  const name = `frameworks_${FRAMEWORKS.indexOf(framework)}_${kind}`
  if (place === 'postgres') return (await bench.postgres()).createDatabase(name)
  return place === 'sqlite' ? `sqlite:${join(bench.folder, `${name}.sqlite`)}` : ''
}
