import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Claim } from '../harness/claim.ts'

const MAIN = fileURLToPath(new URL('../harness/loaded-modules-main.ts', import.meta.url))

export interface LoadedModules {
  readonly ownModules: number
  readonly ownBytes: number
  readonly otherModules: number
  readonly otherBytes: number
}

/** Bytes and modules that importing each entry loads. Not a matter of time, and so of no rounds. */
export const entries: Claim = {
  name: 'entries',
  title: 'What each entry loads',
  async run({ dist, folder }) {
    const load = (...args: string[]): LoadedModules =>
      JSON.parse(execFileSync(process.execPath, [MAIN, dist, ...args], { encoding: 'utf8' }))
    const names = readdirSync(dist)
      .map((file) => /^(index|express|koa|hono|fastify|web|testing)\.js$/.exec(file)?.[1])
      .filter((name) => name !== undefined)
    const measured: Array<readonly [label: string, LoadedModules]> = names.map((name) => [
      name === 'index' ? 'bodhi-session' : `bodhi-session/${name}`,
      load(name)
    ])
    measured.push([
      'bodhi-session, connected to SQLite',
      load('index', `sqlite:${join(folder, 'entries.sqlite')}`)
    ])
    measured.push(['bodhi-session, connecting to PostgreSQL', load('index', 'postgres://127.0.0.1:9/none')])
    return {
      tables: [
        {
          title: 'Loaded by each entry',
          columns: ['modules of ours', 'KB of ours', 'modules of others', 'KB of others'],
          rows: measured.map(([label, { ownModules, ownBytes, otherModules, otherBytes }]) => ({
            label,
            values: [ownModules, ownBytes / 1e3, otherModules, otherBytes / 1e3]
          }))
        }
      ],
      checks: [],
      notes: [
        'As ES modules, source text unminified, without source maps. The framework itself is counted only where the entry loads it.'
      ],
      raw: measured
    }
  }
}
