import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { drawBarChart } from './harness/bar-chart.ts'
import { readBaseline, tableOf } from './harness/baseline.ts'

/* Draws the plots of docs/performance.md from bench/baseline.json: `node bench/plots.ts`. */

interface Plot {
  readonly file: string
  readonly claim: string
  /** How the title of the table begins. */
  readonly table: string
  readonly title: string
  readonly unit: string
  readonly columns?: RegExp
  readonly reference?: number
}

const PLOTS: readonly Plot[] = [
  {
    file: 'performance-postgres.svg',
    claim: 'postgres',
    table: 'PostgreSQL: operations per second, as a multiple',
    title: 'PostgreSQL: operations per second at 32 and 256 callers',
    unit: '× connect-pg-simple',
    columns: /c(32|256)$/,
    reference: 1
  },
  {
    file: 'performance-postgres-p99.svg',
    claim: 'postgres',
    table: 'PostgreSQL: p99',
    title: 'PostgreSQL: the slowest of 100 at 256 callers',
    unit: 'ms',
    columns: /c256$/
  },
  {
    file: 'performance-sqlite.svg',
    claim: 'sqlite',
    table: 'SQLite: operations per second, as a multiple',
    title: 'SQLite: operations per second at 1 and 32 callers, without MemoryStore',
    unit: '× better-sqlite3-session-store',
    columns: /c(1|32)$/,
    reference: 1
  },
  {
    file: 'performance-frameworks.svg',
    claim: 'frameworks',
    table: 'Frameworks: CPU',
    title: 'What a request of a signed-in user costs',
    unit: 'µs of CPU per request'
  }
]

const baseline = await readBaseline()
for (const plot of PLOTS) {
  const table = tableOf(baseline, plot.claim, plot.table)
  if (table === undefined) {
    console.log(`${plot.file}: not drawn, as bench/baseline.json has no results of ${plot.claim}`)
    continue
  }
  const shown = table.columns.flatMap((column, n) => (plot.columns?.test(column) === false ? [] : [n]))
  const chart = drawBarChart({
    title: plot.title,
    unit: plot.unit,
    groups: shown.map((n) => table.columns[n] ?? ''),
    series: table.rows
      // In memory, without a database: it would flatten all others.
      .filter(({ label }) => label !== 'MemoryStore')
      .map(({ label, values }) => ({ label, values: shown.map((n) => values[n] ?? null) })),
    ...(plot.reference === undefined ? {} : { reference: plot.reference })
  })
  await writeFile(fileURLToPath(new URL(`../docs/${plot.file}`, import.meta.url)), chart)
}
