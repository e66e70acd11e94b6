import type { Check } from './check.ts'
import type { Table } from './claim.ts'

export function printTable({ title, columns, rows }: Table): string {
  const head = ['', ...columns]
  const body = rows.map(({ label, values }) => [label, ...values.map(formatNumber)])
  return `${title}\n${align([head, ...body])}\n`
}

export function printChecks(checks: readonly Check[]): string {
  const head = ['', 'must', 'goal', 'measured', '90 % interval', '']
  const body = checks.map(({ name, sense, must, goal, measured, verdict }) => {
    const sign = sense === 'at least' ? '≥' : '≤'
    return [
      name,
      `${sign} ${formatNumber(must)}`,
      goal === undefined ? '' : `${sign} ${formatNumber(goal)}`,
      formatNumber(measured.median),
      `${formatNumber(measured.low)} – ${formatNumber(measured.high)}`,
      VERDICTS[verdict]
    ]
  })
  return align([head, ...body])
}

export const VERDICTS: Readonly<Record<Check['verdict'], string>> = {
  goal: 'goal met',
  must: 'must met',
  unsure: 'must met by the median only',
  missed: 'MISSED'
}

export function formatNumber(value: number | null): string {
  if (value === null || Number.isNaN(value)) return '–'
  if (value >= 1_000) return Math.round(value).toString()
  if (value >= 100) return value.toFixed(0)
  if (value >= 10) return value.toFixed(1)
  return value.toFixed(2)
}

/** Text to the left, numbers to the right. */
function align(lines: ReadonlyArray<readonly string[]>): string {
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0))
  )
  return lines
    .map((line) =>
      line
        .map((cell, column) =>
          column === 0 || column === line.length - 1
            ? cell.padEnd(widths[column] ?? 0)
            : cell.padStart(widths[column] ?? 0)
        )
        .join('  ')
        .trimEnd()
    )
    .join('\n')
}
