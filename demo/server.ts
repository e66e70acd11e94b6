import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { DefaultSessionService, SessionError, sessionDbUrl } from '../src/index.ts'
import { createDemoApp } from './app.ts'
import { cookieSecret } from './cookie-secret.ts'
import { isSystemError, SetupError } from './setup-error.ts'

/*
 * One server process: `npm run demo` runs it alone, `npm run demo:cluster` two of them, and talks to each through its
 * IPC channel: out goes the address, in comes the other node's. The BODHI_ variables say where the sessions are.
 */

const HOST = '127.0.0.1'
const DEFAULT_PORT = 3000
/** How long a stop waits for requests that are being answered. */
const STOP_TIMEOUT_MS = 5_000

try {
  await serve(process.env)
} catch (error) {
  const isExplained = error instanceof SetupError || error instanceof SessionError
  console.error(isExplained ? error.message : error)
  process.exitCode = 1
  if (process.connected) process.disconnect()
}

async function serve(env: NodeJS.ProcessEnv): Promise<void> {
  const port = portFrom(env['PORT'])
  const store = /^sqlite:/i.test(sessionDbUrl(env)) ? 'SQLite' : 'PostgreSQL'
  const node: { name: string | undefined; store: string; otherNode: string | undefined } = {
    name: env['DEMO_NODE'] || undefined,
    store,
    otherNode: undefined
  }
  const secret = await cookieSecret(env)
  const sessions = await DefaultSessionService.fromEnv({ env })
  const server = createServer(createDemoApp({ sessions, secret, node }))
  try {
    await listen(server, port)
  } catch (error) {
    await sessions.close()
    throw error
  }

  let isStopping = false
  const stop = async () => {
    // npm passes a terminal's ctrl-C on, so that it comes twice.
    if (isStopping) return
    isStopping = true
    if (process.connected) process.disconnect()
    await closeServer(server)
    await sessions.close()
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  process.on('disconnect', stop) // whoever started this is gone

  // Last, so that whoever reads the address can stop the server in an orderly way.
  const address = addressOf(server)
  console.log(`${node.name ?? 'The demo'} is at ${address} (sessions in ${store}, ctrl-C stops it)`)
  // With a callback, as whoever started this may be gone: 'disconnect' stops the server then.
  process.send?.({ address }, undefined, undefined, () => {})
  process.on('message', (message) => {
    if (typeof message === 'object' && message !== null && 'otherNode' in message) {
      node.otherNode = String(message.otherNode)
    }
  })
}

function portFrom(value: string | undefined): number {
  if (!value) return DEFAULT_PORT
  const port = Number(value)
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port
  throw new SetupError(`PORT must be a whole number from 0 (any free port) to 65535; it is '${value}'.`)
}

async function listen(server: Server, port: number): Promise<void> {
  try {
    server.listen(port, HOST)
    await once(server, 'listening')
  } catch (error) {
    if (isSystemError(error, 'EADDRINUSE')) {
      throw new SetupError(
        `Port ${port} is in use. Choose another one with PORT, or PORT=0 for any that is free.`
      )
    }
    if (isSystemError(error, 'EACCES'))
      throw new SetupError(`Port ${port} may not be used. Choose another one with PORT.`)
    throw error
  }
}

function addressOf(server: Server): string {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The server has no TCP address')
  return `http://${HOST}:${address.port}`
}

/** Lets requests that are being answered finish, but a connection that stays open does not hold up the stop. */
async function closeServer(server: Server): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  const impatience = setTimeout(() => server.closeAllConnections(), STOP_TIMEOUT_MS)
  await closed
  clearTimeout(impatience)
}
