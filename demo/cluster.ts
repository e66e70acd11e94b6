import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { startPostgres } from '../tests/support/postgres.ts'

/*
 * `npm run demo:cluster`: a PostgreSQL of its own in a temporary folder, and two server processes in cluster mode that
 * share nothing else. The PostgreSQL comes from npm, and is the one that the tests use: it goes away with this process,
 * its files too.
 */

const FIRST_PORT = process.env['PORT'] || '3000'
const NODES = ['Node 1', 'Node 2']

const stopping = Promise.withResolvers<void>()
process.on('SIGINT', () => stopping.resolve())
process.on('SIGTERM', () => stopping.resolve())

console.log('Starting PostgreSQL …')
await using postgres = await startPostgres()
const secret = randomBytes(32).toString('base64url')

const nodes = NODES.map((name, index) =>
  fork(new URL('server.ts', import.meta.url), {
    env: {
      ...process.env,
      BODHI_DEPLOYMENT: 'cluster',
      BODHI_SESSION_DB_URL: postgres.url,
      SESSION_SECRET: secret,
      DEMO_NODE: name,
      PORT: portOf(index)
    }
  })
)
const exits = nodes.map((node) => once(node, 'exit'))
introduce(nodes)
try {
  const cause = await Promise.race([stopping.promise, ...exits])
  // A node that failed has said why. One that was stopped may be gone before the same signal has arrived here.
  if (cause !== undefined && cause[0] !== 0) process.exitCode = 1
} finally {
  for (const node of nodes) node.kill('SIGTERM')
  await Promise.all(exits)
}

/** Tells each node where the other one is, as soon as it is known. */
function introduce(nodes: readonly ChildProcess[]): void {
  for (const node of nodes) {
    node.once('message', (message) => {
      if (typeof message !== 'object' || message === null || !('address' in message)) return
      for (const other of nodes) {
        // With a callback, as a node that is just stopping cannot be told, and need not: its exit says how that went.
        if (other !== node) other.send({ otherNode: `${message.address}/account` }, () => {})
      }
    })
  }
}

/** The nodes' ports follow each other. 0 stays 0, for any free port; what is no port is the server's to explain. */
function portOf(index: number): string {
  return Number(FIRST_PORT) > 0 ? String(Number(FIRST_PORT) + index) : FIRST_PORT
}
