/** Groups of bars as an SVG, readable on light and dark pages. */
export interface BarChart {
  readonly title: string
  readonly unit: string
  readonly groups: readonly string[]
  readonly series: ReadonlyArray<{ readonly label: string; readonly values: ReadonlyArray<number | null> }>
  /** A line across: what the others are multiples of. */
  readonly reference?: number
}

/** Distinguishable with any kind of colour vision (Okabe and Ito), the first for ours. */
const COLOURS = ['#0072b2', '#e69f00', '#56b4e9', '#009e73', '#cc79a7', '#d55e00', '#999999']
const WIDTH = 960
const PLOT = { left: 60, right: 16, top: 78, height: 260 }
const LEGEND_COLUMNS = 4

export function drawBarChart({ title, unit, groups, series, reference }: BarChart): string {
  const top = niceCeiling(Math.max(...series.flatMap(({ values }) => values.map((value) => value ?? 0))))
  const y = (value: number) => PLOT.top + PLOT.height * (1 - value / top)
  const groupWidth = (WIDTH - PLOT.left - PLOT.right) / groups.length
  const barWidth = (groupWidth * 0.84) / series.length
  const parts: string[] = []

  for (let line = 0; line <= 4; line++) {
    const value = (top * line) / 4
    parts.push(
      `<line class="grid" x1="${PLOT.left}" x2="${WIDTH - PLOT.right}" y1="${round(y(value))}" y2="${round(y(value))}"/>`,
      `<text x="${PLOT.left - 8}" y="${round(y(value) + 4)}" text-anchor="end">${label(value)}</text>`
    )
  }
  groups.forEach((group, n) => {
    const left = PLOT.left + n * groupWidth
    parts.push(
      `<text x="${round(left + groupWidth / 2)}" y="${PLOT.top + PLOT.height + 18}" text-anchor="middle">${escapeXml(group)}</text>`
    )
    series.forEach(({ label: name, values }, index) => {
      const value = values[n] ?? null
      if (value === null) return
      const x = left + groupWidth * 0.08 + index * barWidth
      parts.push(
        `<rect x="${round(x)}" y="${round(y(value))}" width="${round(barWidth * 0.92)}" height="${round(PLOT.top + PLOT.height - y(value))}" fill="${colour(index)}"><title>${escapeXml(`${name}, ${group}: ${label(value)} ${unit}`)}</title></rect>`
      )
    })
  })
  if (reference !== undefined) {
    parts.push(
      `<line class="reference" x1="${PLOT.left}" x2="${WIDTH - PLOT.right}" y1="${round(y(reference))}" y2="${round(y(reference))}"/>`
    )
  }
  series.forEach(({ label: name }, index) => {
    const x = PLOT.left + (index % LEGEND_COLUMNS) * ((WIDTH - PLOT.left) / LEGEND_COLUMNS)
    const line = 44 + Math.floor(index / LEGEND_COLUMNS) * 17
    parts.push(
      `<rect x="${round(x)}" y="${line - 9}" width="10" height="10" fill="${colour(index)}"/>`,
      `<text x="${round(x + 15)}" y="${line}">${escapeXml(name)}</text>`
    )
  })

  const height = PLOT.top + PLOT.height + 32
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeXml(title)}">
<style>
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .grid { stroke: #8886; stroke-width: 0.5 }
  .reference { stroke: #24292f; stroke-dasharray: 5 3 }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .reference { stroke: #e6edf3 } }
</style>
<text class="title" x="${PLOT.left}" y="20">${escapeXml(`${title} (${unit})`)}</text>
${parts.join('\n')}
</svg>
`
}

function colour(index: number): string {
  return COLOURS[index % COLOURS.length] ?? '#999999'
}

/** The next of 1, 2, 4 or 8 times a power of ten: its quarters are short numbers. */
function niceCeiling(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return ([1, 2, 4, 8, 10].find((factor) => factor * power >= value) ?? 10) * power
}

function label(value: number): string {
  return value >= 10 ? String(Math.round(value)) : String(Number(value.toPrecision(2)))
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)
}
