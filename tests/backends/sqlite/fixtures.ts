import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { SessionEntry, StoragePolicy } from '../../../src/backends/backend.ts'
import {
  SqliteSessionStorage,
  type SqliteSessionStorageOptions
} from '../../../src/backends/sqlite/adapter.ts'
import { decodeData, encodeData } from '../../../src/core/data.ts'
import type { SessionId } from '../../../src/core/session.ts'
import { sessionIdOf } from '../../../src/core/token.ts'

export const HOUR = 3_600_000

export const policy: StoragePolicy = {
  namespace: 'sessions',
  idleTimeoutMs: 24 * HOUR,
  absoluteTimeoutMs: 30 * 24 * HOUR,
  tombstoneMs: 24 * HOUR,
  encode: (data) => ({ value: encodeData(data, 1_000_000, 'strict'), userId: null }),
  decode: decodeData,
  changedThroughKeyv: () => {}
}

export function idOf(name: string): SessionId {
  const id = sessionIdOf(name)
  if (id === undefined) throw new Error(`No session id comes from ${name}`)
  return id
}

export function entryOf(data: object = {}, userId: string | null = null): SessionEntry {
  return { value: JSON.stringify(data), userId }
}

/** A folder that goes away with the test. */
export async function createFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bodhi-session-sqlite-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A store that is closed after the test; not opened yet. */
export function createStore(
  options: Partial<SqliteSessionStorageOptions> = {},
  policyChanges: Partial<StoragePolicy> = {}
): SqliteSessionStorage {
  const store = new SqliteSessionStorage({
    path: ':memory:',
    table: 'bodhi_sessions',
    busyTimeoutMs: 5_000,
    durability: 'normal',
    ...options
  })
  store.configure({ ...policy, ...policyChanges })
  onTestFinished(() => store.disconnect())
  return store
}

export interface Program {
  readonly child: ChildProcess
  /** The next line that the program prints; undefined when it has ended. */
  nextLine(): Promise<string | undefined>
  /** Resolves with the exit code, or the signal. */
  readonly ended: Promise<number | NodeJS.Signals>
}

/** One of the programs in `programs/`, in a process of its own. */
export function startProgram(name: string, ...args: string[]): Program {
  return startProgramWith([], name, ...args)
}

/** With options for Node itself. */
export function startProgramWith(nodeOptions: string[], name: string, ...args: string[]): Program {
  const program = fileURLToPath(new URL(`programs/${name}.ts`, import.meta.url))
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', ...nodeOptions, program, ...args],
    { stdio: ['pipe', 'pipe', 'inherit'] }
  )
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  return {
    child,
    async nextLine() {
      const { done, value } = await lines.next()
      return done ? undefined : value
    },
    ended: once(child, 'exit').then(([code, signal]) => code ?? signal)
  }
}
