import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const ADDRESS = /http:\/\/127\.0\.0\.1:\d+/g

/** The demo as a user runs it, in a temporary home, on free ports. */
export interface RunningDemo extends AsyncDisposable {
  /** One address for each server process. */
  readonly addresses: readonly string[]
  readonly output: () => string
  /** What is left in the demo's folder for temporary files. */
  readonly temporaryFiles: () => Promise<string[]>
  /** The process id of the PostgreSQL that the demo has started. */
  readonly postgresPid: () => Promise<number>
  /**
   * Does what ctrl-C in a terminal does: the signal reaches every process of the group. Resolves with the exit code when
   * the last process that holds the output has ended.
   */
  readonly stop: (signal?: 'SIGINT' | 'SIGTERM') => Promise<number | null>
}

export interface Finished {
  readonly code: number | null
  readonly output: string
}

/** A folder that the account that runs PostgreSQL under root can enter too. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bodhi-session-demo-'))
  await chmod(folder, 0o755)
  return folder
}

/** The scripts of package.json. */
type Script = 'demo' | 'demo:cluster'

/** What the scripts of package.json run, for tests of the exit code: npm makes one of its own when a signal comes. */
const PROGRAMS = {
  'node demo/server.ts': { command: ['node', 'demo/server.ts'], nodes: 1 },
  'node demo/cluster.ts': { command: ['node', 'demo/cluster.ts'], nodes: 2 },
  demo: { command: ['npm', 'run', '--silent', 'demo'], nodes: 1 },
  'demo:cluster': { command: ['npm', 'run', '--silent', 'demo:cluster'], nodes: 2 }
} as const

/** Runs the demo until each of its nodes has printed its address. */
export async function startDemo(
  program: keyof typeof PROGRAMS,
  env: Readonly<Record<string, string>>
): Promise<RunningDemo> {
  const { command, nodes } = PROGRAMS[program]
  const folder = await temporaryFolder()
  const { child, output } = run(command, { TMPDIR: folder, ...env })
  const ended = once(child, 'close')
  let hasEnded = false
  child.once('close', () => {
    hasEnded = true
  })
  const stop = async (signal: NodeJS.Signals = 'SIGINT') => {
    if (child.pid !== undefined && !hasEnded) process.kill(-child.pid, signal)
    const [code]: unknown[] = await ended
    return typeof code === 'number' ? code : null
  }
  const dispose = async () => {
    await stop('SIGTERM')
    await rm(folder, { recursive: true, force: true })
  }
  const addresses = () => [...new Set(output().match(ADDRESS) ?? [])]
  while (addresses().length < nodes) {
    const next = await Promise.race([once(child.stdout ?? child, 'data'), ended.then(() => 'ended' as const)])
    if (next !== 'ended') continue
    await dispose()
    throw new Error(`${command.join(' ')} ended before it was serving:\n${output()}`)
  }
  return {
    addresses: addresses(),
    output,
    temporaryFiles: () => readdir(folder),
    postgresPid: async () => {
      const [server] = (await readdir(folder)).filter((name) => name.startsWith('bodhi-session-pg-'))
      return Number.parseInt(
        await readFile(join(folder, String(server), 'data', 'postmaster.pid'), 'utf8'),
        10
      )
    },
    stop,
    [Symbol.asyncDispose]: dispose
  }
}

/** `npm run <script>` where it is expected to give up by itself. */
export async function failDemo(script: Script, env: Readonly<Record<string, string>>): Promise<Finished> {
  const { child, output } = run(PROGRAMS[script].command, env)
  const [code]: unknown[] = await once(child, 'close')
  return { code: typeof code === 'number' ? code : null, output: output() }
}

function run(
  [program, ...args]: readonly [string, ...string[]],
  env: Readonly<Record<string, string>>
): { child: ChildProcess; output: () => string } {
  const child = spawn(program, args, {
    cwd: ROOT,
    env: { ...process.env, PORT: '0', ...env },
    detached: true, // a process group of its own, as a terminal gives it
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
  }
  return { child, output: () => output }
}
