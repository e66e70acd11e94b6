import { execFileSync, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/*
 * node scripts/leak-check.ts <command> [arguments]
 *
 * Runs the command and fails if it leaves anything behind: a process, a listening port, a temporary file, shared
 * memory. The command's own exit code comes first. Linux only (it reads /proc).
 *
 * What belongs to the command is told by a mark in the environment that its processes inherit, and by a temporary
 * folder of its own, so that whatever else runs on the machine does not matter.
 */

const GRACE_MS = 10_000
const mark = `BODHI_LEAK_CHECK=${randomUUID()}`

interface Process {
  readonly pid: number
  readonly parent: number
  readonly command: string
}

function isGone(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES' || code === 'EPERM'
}

/** What `read` gives, or undefined where the process has ended meanwhile or is another user's. */
function ifThere<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

function processIds(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
}

/** The processes that the command started, and their descendants, but for those that wait to be reaped. */
function ownProcesses(): Process[] {
  const all = new Map<number, Process>()
  const own = new Set<number>()
  for (const pid of processIds()) {
    const stat = ifThere(() => readFileSync(`/proc/${pid}/stat`, 'utf8'))
    const [state, parent] = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? []
    if (state === undefined || state === 'Z' || pid === process.pid) continue
    const command = ifThere(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')) ?? ''
    all.set(pid, { pid, parent: Number(parent), command: command.replaceAll('\0', ' ').trim().slice(0, 200) })
    const environment = ifThere(() => readFileSync(`/proc/${pid}/environ`, 'utf8'))
    if (environment?.split('\0').includes(mark)) own.add(pid)
  }
  const isOwn = (found: Process | undefined): boolean =>
    found !== undefined && (own.has(found.pid) || isOwn(all.get(found.parent)))
  return [...all.values()].filter(isOwn)
}

/** The inodes of listening TCP sockets, with their ports. */
function listeningPorts(): Map<string, number> {
  const ports = new Map<string, number>()
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6'].filter(existsSync)) {
    for (const line of readFileSync(file, 'utf8').split('\n').slice(1)) {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/)
      const port = local?.split(':')[1]
      if (state === '0A' && port && inode) ports.set(inode, Number.parseInt(port, 16))
    }
  }
  return ports
}

function portsOf(processes: readonly Process[]): number[] {
  const ports = listeningPorts()
  const held = processes.flatMap(({ pid }) =>
    (ifThere(() => readdirSync(`/proc/${pid}/fd`)) ?? []).map((fd) => {
      const target = ifThere(() => readlinkSync(`/proc/${pid}/fd/${fd}`))
      return ports.get(target?.match(/^socket:\[(\d+)\]$/)?.[1] ?? '')
    })
  )
  return [...new Set(held.filter((port) => port !== undefined))]
}

/** What does not go by TMPDIR: new files in the working tree, sockets, and shared memory that no process maps. */
function strayFiles(): Set<string> {
  const git = ['status', '--porcelain', '--ignored']
  const status = existsSync('.git') ? execFileSync('git', git, { encoding: 'utf8' }) : ''
  // What npm ci and the build make is meant to stay.
  const untracked = status.split('\n').filter((line) => /^(\?\?|!!) (?!(dist|node_modules)\/)/.test(line))
  const sockets = readdirSync('/tmp').filter((name) => /^\.(s\.PGSQL|org\.chromium)\./.test(name))
  const mapped = new Set<string>()
  for (const pid of processIds()) {
    const maps = ifThere(() => readFileSync(`/proc/${pid}/maps`, 'utf8')) ?? ''
    for (const [file] of maps.matchAll(/\/dev\/shm\/\S+/g)) mapped.add(file)
  }
  const memory = existsSync('/dev/shm') ? readdirSync('/dev/shm').map((name) => join('/dev/shm', name)) : []
  return new Set([
    ...untracked.map((line) => line.slice(3)),
    ...sockets.map((name) => join('/tmp', name)),
    ...memory.filter((file) => !mapped.has(file))
  ])
}

const [command, ...args] = process.argv.slice(2)
if (!command) {
  console.error('usage: node scripts/leak-check.ts <command> [arguments]')
  process.exit(2)
}

const before = strayFiles()
const folder = mkdtempSync(join(tmpdir(), 'leak-check-'))
chmodSync(folder, 0o1777) // PostgreSQL runs as another user
const [name, value] = mark.split('=')
const child = spawn(command, args, {
  stdio: 'inherit',
  // tsc and npm keep a compile cache in the temporary folder, on purpose and for good.
  env: { ...process.env, [String(name)]: value, TMPDIR: folder, NODE_DISABLE_COMPILE_CACHE: '1' }
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
const [code, signal] = await once(child, 'exit')

// What is on its way out may finish.
const deadline = performance.now() + GRACE_MS
while (ownProcesses().length > 0 && performance.now() < deadline) await delay(100)

const processes = ownProcesses()
const leaks = [
  ...portsOf(processes).map((port) => `port ${port} is still listening`),
  ...processes.map(({ pid, command }) => `process ${pid} still runs: ${command}`),
  ...readdirSync(folder).map((file) => `temporary file left: ${file}`),
  ...[...strayFiles()].filter((file) => !before.has(file)).map((file) => `file left: ${file}`)
]
for (const { pid } of processes) process.kill(pid, 'SIGKILL')
rmSync(folder, { recursive: true, force: true })

for (const leak of leaks) console.error(`leak-check: ${leak}`)
if (leaks.length === 0) console.log('leak-check: nothing was left behind')
if (signal) console.error(`leak-check: the command was ended by ${signal}`)
process.exitCode = typeof code === 'number' && code !== 0 ? code : signal || leaks.length > 0 ? 1 : 0
