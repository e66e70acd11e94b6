import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { DefaultSessionService, SessionServiceOptions } from '../../src/index.ts'
import type { BenchData, Contender, ContenderSetup } from '../harness/contender.ts'

const DAY_MS = 86_400_000

export function openOnPostgres(setup: ContenderSetup): Promise<Contender> {
  const { table } = setup
  return open(setup.location, setup, {
    postgres: { maxConnections: setup.connections, ...(table === undefined ? {} : { table }) }
  })
}

export function openOnSqlite(setup: ContenderSetup): Promise<Contender> {
  return open(`sqlite:${setup.location}`, setup, { sqlite: { durability: setup.durability } })
}

async function open(
  url: string,
  setup: ContenderSetup,
  options: SessionServiceOptions<BenchData>
): Promise<Contender> {
  const sessions = await connect<BenchData>(setup.dist, url, {
    idleTimeoutMs: DAY_MS,
    touchAfterMs: 0, // every touch writes: what is measured is what it costs, not that it is spared
    pruneIntervalMs: 0,
    ...options
  })
  return {
    async fill(entries) {
      await Promise.all(entries.map(([key, data]) => sessions.put(key, data, { ifMissing: 'insert' })))
    },
    load: (key) => sessions.load(key),
    save: async (key, data) => check(await sessions.save(key, data), true),
    touch: async (key) => check(await sessions.touch(key), true),
    create: async (data) => (await sessions.create(data)).token,
    destroy: async (key) => check(await sessions.destroy(key), true),
    prune: () => sessions.pruneExpired(),
    close: () => sessions.close()
  }
}

/** The built package, as it is installed. */
export async function connect<T extends object>(
  dist: string,
  url: string,
  options: SessionServiceOptions<T>
): Promise<DefaultSessionService<T>> {
  const built: unknown = await import(pathToFileURL(join(dist, 'index.js')).href)
  const { DefaultSessionService: Service } = built as typeof import('../../src/index.ts') // what was built is this
  return Service.connect<T>(url, options)
}

/** A store that does nothing is fast. */
function check(answer: unknown, expected: unknown): void {
  if (answer !== expected) throw new Error(`Expected ${String(expected)}, got ${String(answer)}`)
}
