import { betterSqlite3Store } from '../contenders/better-sqlite3-session-store.ts'
import { connect } from '../contenders/bodhi-session.ts'
import { connectPgSimple } from '../contenders/connect-pg-simple.ts'
import type { ExpressStore } from '../contenders/express-store.ts'
import type { PageData, Serve, SessionKind } from './application.ts'

/** The process of one server. Its arguments: the framework, the kind of sessions, their URL, and the built package. */

const CONNECTIONS = 10

const SERVERS: Readonly<Record<string, () => Promise<Serve>>> = {
  Express: async () => (await import('./express.ts')).serveExpress,
  Koa: async () => (await import('./koa.ts')).serveKoa,
  Fastify: async () => (await import('./fastify.ts')).serveFastify,
  Hono: async () => (await import('./hono.ts')).serveHono,
  'node:http': async () => (await import('./node-http.ts')).serveNodeHttp
}

const [framework = '', kind = '', url = '', dist = ''] = process.argv.slice(2)

process.on('disconnect', () => process.exit())
const serve = await SERVERS[framework]?.()
if (serve === undefined) throw new Error(`There is no server for ${framework}`)
const port = await serve({
  kind: kind as SessionKind, // the runner's word
  dist,
  ...(kind === 'ours' && { sessions: await connect<PageData>(dist, url, {}) }),
  ...(kind === 'usual' && { store: await usualStore() })
})
process.send?.(port)

async function usualStore(): Promise<ExpressStore> {
  if (url.startsWith('postgres')) return (await connectPgSimple(url, CONNECTIONS)).store
  return (await betterSqlite3Store(url.slice('sqlite:'.length), 'normal')).store
}
