import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export interface TestRedis {
  readonly url: string
  /** Starts it again on the same port, with what it held when it was stopped. */
  start(): Promise<void>
  stop(): Promise<void>
  /** Ends it as it stands; what it had not written is lost. */
  crash(): Promise<void>
  /** Lets it answer nothing, while its connections stay open. */
  freeze(): void
  thaw(): void
  close(): Promise<void>
}

/** A redis-server of its own on a free port, which writes its data to disk only when it is stopped. */
export async function startRedis(): Promise<TestRedis> {
  const port = await freePort()
  const folder = await mkdtemp(join(tmpdir(), 'bodhi-session-redis-'))
  let server: ChildProcess | undefined
  const redis: TestRedis = {
    url: `redis://127.0.0.1:${port}`,
    async start() {
      const options = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--save', '3600 1']
      const started = spawn('redis-server', options, { stdio: ['ignore', 'pipe', 'inherit'] })
      server = started
      await Promise.race([
        isReady(started),
        once(started, 'error').then(([error]) => {
          throw new Error('redis-server does not start. Install it: apt-get install redis-server', {
            cause: error
          })
        })
      ])
    },
    async stop() {
      if (server === undefined) return
      const gone = once(server, 'exit')
      server.kill('SIGTERM')
      server.kill('SIGCONT')
      server = undefined
      await gone
    },
    async crash() {
      if (server === undefined) return
      const gone = once(server, 'exit')
      server.kill('SIGKILL')
      server = undefined
      await gone
    },
    freeze() {
      server?.kill('SIGSTOP')
    },
    thaw() {
      server?.kill('SIGCONT')
    },
    async close() {
      await redis.stop()
      await rm(folder, { recursive: true, force: true })
    }
  }
  await redis.start()
  return redis
}

async function isReady(server: ChildProcess): Promise<void> {
  if (server.stdout === null) throw new Error('redis-server has no output.')
  for await (const line of createInterface(server.stdout)) {
    if (!line.includes('Ready to accept connections')) continue
    server.stdout.resume()
    return
  }
  throw new Error('redis-server ended before it was ready.')
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo // a TCP server's address is one
  probe.close()
  await once(probe, 'close')
  return port
}
