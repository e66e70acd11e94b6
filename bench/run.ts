import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { cpus, loadavg, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readArguments, USAGE } from './arguments.ts'
import { CLAIMS } from './claims/registry.ts'
import { BASELINE_FILE, readBaseline } from './harness/baseline.ts'
import { buildPackage } from './harness/build.ts'
import type { Check } from './harness/check.ts'
import type { Bench, ClaimResult } from './harness/claim.ts'
import { printChecks, printTable } from './harness/report.ts'
import { type BenchPostgres, startBenchPostgres } from './harness/servers.ts'

/*
 * Measures the claims of docs/performance.md, and prints for each what must hold and what was measured. Raw results go to
 * bench/results; see docs/performance.md for the method.
 */

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const RESULTS = join(ROOT, 'bench', 'results')

async function main(): Promise<void> {
  const given = readArguments(process.argv.slice(2))
  const names =
    given.only.length > 0
      ? given.only
      : CLAIMS.filter((claim) => !given.isQuick || claim.isQuick).map((claim) => claim.name)
  for (const name of names) {
    if (!CLAIMS.some((claim) => claim.name === name))
      throw new Error(`There is no claim ${name}; there are ${CLAIMS.map((claim) => claim.name).join(', ')}`)
  }

  await using cleanUp = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'bodhi-session-bench-'))
  cleanUp.defer(() => rm(folder, { recursive: true, force: true }))
  let postgres: Promise<BenchPostgres> | undefined
  const bench: Bench = {
    isQuick: given.isQuick,
    rounds: given.rounds,
    sliceMs: given.sliceMs,
    sessions: given.sessions,
    dist: await buildPackage(ROOT),
    folder,
    postgres() {
      postgres ??= startBenchPostgres().then((server) => cleanUp.use(server))
      return postgres
    },
    progress: showProgress
  }

  await mkdir(RESULTS, { recursive: true })
  const checks: Check[] = []
  for (const { name, run, title } of CLAIMS.filter((claim) => names.includes(claim.name))) {
    console.log(`\n# ${title}\n`)
    const result = await run(bench)
    showProgress('')
    for (const table of result.tables) console.log(printTable(table))
    for (const note of result.notes) console.log(`Note: ${note}`)
    checks.push(...result.checks)
    await keep(name, result, given)
    await (await postgres)?.dropDatabases()
  }
  if (checks.length > 0) console.log(`\n# What must hold, and what was measured\n\n${printChecks(checks)}`)
  if (given.isQuick)
    console.log('\nA quick run: slices are short and rounds few. Musts are judged on a full one.')
}

async function keep(
  name: string,
  { raw, ...summary }: ClaimResult,
  { keepsBaseline, rounds, sliceMs, sessions }: ReturnType<typeof readArguments>
): Promise<void> {
  const measuredAt = new Date().toISOString()
  await writeFile(
    join(RESULTS, `${name}.json`),
    JSON.stringify({ measuredAt, rounds, sliceMs, sessions, ...summary, raw }, undefined, 1)
  )
  if (!keepsBaseline) return
  const known = await readBaseline()
  const measured = { measuredAt, machine: machine(), rounds, sliceMs, sessions, ...summary }
  const claims = { ...known.claims, [name]: rounded(measured) }
  await writeFile(BASELINE_FILE, `${JSON.stringify({ claims }, undefined, 2)}\n`)
}

/** Four digits say more than the noise allows. */
function rounded<T>(value: T): T {
  return JSON.parse(JSON.stringify(value), (_, inner: unknown) =>
    typeof inner === 'number' && !Number.isInteger(inner) ? Number(inner.toPrecision(4)) : inner
  )
}

function machine(): string {
  const [cpu] = cpus()
  const gigabytes = Math.round(totalmem() / 2 ** 30)
  const load = (loadavg()[0] ?? 0).toFixed(1)
  return `${cpus().length} cores (${cpu?.model.trim() ?? 'unknown'}), ${gigabytes} GiB, Node ${process.versions.node}, load ${load} at the end`
}

/** One line that is written over; nothing where nobody watches. */
function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}

if (process.argv.includes('--help')) console.log(USAGE)
else await main()
