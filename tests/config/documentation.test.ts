import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { ENVIRONMENT_VARIABLES } from '../../src/config/environment-variables.ts'
import { BODHI_DEPLOYMENT, BODHI_HOME, BODHI_SESSION_DB_URL } from '../../src/config/from-env.ts'
import { resolveOptions } from '../../src/config/options.ts'

const page = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

/** The rows of the table under a heading: name to default, both without backticks. */
function tableUnder(heading: string): Map<string, string> {
  const section =
    page.split(/^### /m).find((text) => text.startsWith(`${heading}\n`)) ?? expect.fail(`no ${heading}`)
  const rows = section.matchAll(/^\| `([^`]+)` \| ([^|]+) \| [^|]+ \|$/gm)
  return new Map(Array.from(rows, ([, name = '', fallback = '']) => [name, fallback]))
}

function expectedDefault(value: unknown): string {
  return value === undefined ? 'none' : `\`${value}\``
}

describe('the README', () => {
  it('lists every option with its default, and no other', () => {
    const { postgres, sqlite, ...own } = resolveOptions(undefined)
    const options = new Map<string, unknown>([
      ...Object.entries(own),
      ...Object.entries(postgres).map(([key, value]): [string, unknown] => [`postgres.${key}`, value]),
      ...Object.entries(sqlite).map(([key, value]): [string, unknown] => [`sqlite.${key}`, value])
    ])
    const table = tableUnder('Options')
    expect([...table.keys()].sort()).toEqual([...options.keys()].sort())
    for (const [name, text] of table) {
      expect(text, name).toMatch(new RegExp(`^${expectedDefault(options.get(name))}(?![\\w])`))
    }
  })

  it('lists every variable with its default and the option that it sets, and no other', () => {
    const table = tableUnder('Variables')
    const names = [
      BODHI_DEPLOYMENT,
      BODHI_SESSION_DB_URL,
      BODHI_HOME,
      ...ENVIRONMENT_VARIABLES.map(({ name }) => name)
    ]
    expect([...table.keys()]).toEqual(names)
    for (const { name, meaning, options, default: fallback } of ENVIRONMENT_VARIABLES) {
      const sets = options.map((option) => `\`${option}\``).join(' and ')
      expect(page).toContain(`| \`${name}\` | ${expectedDefault(fallback)} | ${meaning}. Sets ${sets}. |`)
    }
  })
})
