import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { type Baseline, readBaseline, tableOf } from './harness/baseline.ts'
import type { Check } from './harness/check.ts'
import { formatNumber, VERDICTS } from './harness/report.ts'

/*
 * Writes the tables of docs/performance.md from bench/baseline.json: `node bench/tables.ts`. Each stands between
 * `<!-- table: claim | start of its title -->` (or `<!-- checks: claim -->`, `<!-- measured: claim -->`) and `<!-- end -->`.
 */

const DOCUMENT = fileURLToPath(new URL('../docs/performance.md', import.meta.url))
const BLOCK = /<!-- (table|checks|measured): ([\w-]+)(?: \| (.+?))? -->\n[\s\S]*?<!-- end -->/g

const baseline = await readBaseline()
const text = await readFile(DOCUMENT, 'utf8')
const written = text.replace(BLOCK, (block, kind: string, claim: string, title: string | undefined) => {
  const head = block.slice(0, block.indexOf('\n'))
  return `${head}\n\n${contentOf(baseline, kind, claim, title ?? '')}\n\n<!-- end -->`
})
await writeFile(DOCUMENT, written)

function contentOf(baseline: Baseline, kind: string, claim: string, title: string): string {
  const summary = baseline.claims[claim]
  if (summary === undefined) return '*Not measured yet.*'
  if (kind === 'measured') {
    const { measuredAt, machine, rounds, sliceMs, sessions } = summary
    return `Measured on ${measuredAt.slice(0, 10)}: ${machine}; ${rounds} rounds of ${sliceMs} ms, ${sessions.toLocaleString('en-GB')} sessions.`
  }
  if (kind === 'checks') return checksTable(summary.checks)
  const table = tableOf(baseline, claim, title)
  if (table === undefined) throw new Error(`bench/baseline.json has no table "${title}" of ${claim}`)
  return markdown([
    ['', ...table.columns],
    ...table.rows.map(({ label, values }) => [label, ...values.map(formatNumber)])
  ])
}

function checksTable(checks: readonly Check[]): string {
  return markdown([
    ['', 'must', 'goal', 'measured', '90 % interval', 'verdict'],
    ...checks.map(({ name, sense, must, goal, measured, verdict }) => {
      const sign = sense === 'at least' ? '≥' : '≤'
      const interval = `${formatNumber(measured.low)} – ${formatNumber(measured.high)}`
      const aim = goal === undefined ? '' : `${sign} ${formatNumber(goal)}`
      return [
        name,
        `${sign} ${formatNumber(must)}`,
        aim,
        formatNumber(measured.median),
        interval,
        VERDICTS[verdict]
      ]
    })
  ])
}

function markdown(lines: ReadonlyArray<readonly string[]>): string {
  const [head = [], ...body] = lines
  const rule = head.map((_, column) => (column === 0 ? '---' : '---:'))
  return [head, rule, ...body].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}
