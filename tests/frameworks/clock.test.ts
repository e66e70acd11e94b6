import fastifyCookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify from 'fastify'
import Koa from 'koa'
import createSession from 'koa-session'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { FastifySessionStore } from '../../src/frameworks/fastify.ts'
import { KoaSessionStore } from '../../src/frameworks/koa.ts'
import { DefaultSessionService } from '../../src/index.ts'
import type { AdapterHandler, AdapterServer, AdapterSetup } from '../../src/testing/adapter-contract.ts'
import { Browser } from '../../src/testing/contract/browser.ts'
import {
  listen,
  SECRET,
  serveExpress,
  serveFastify,
  serveHono,
  serveKoa,
  serveWeb
} from '../support/adapter-servers.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'

/*
 * A framework compares what it finds in a session with its own clock. On a node that is two hours off the database's, a
 * session with an hour to live must neither seem over nor be prolonged.
 */

const HOUR = 3_600_000
const MINUTE = 60_000

/** koa-session by itself, with a maxAge, so that it writes and checks `_expire`. */
async function serveBareKoa({ sessions, handler }: AdapterSetup): Promise<AdapterServer> {
  const app = new Koa()
  app.keys = [SECRET]
  app.use(createSession({ store: new KoaSessionStore(sessions), maxAge: HOUR, renew: true }, app))
  app.use(async (ctx) => {
    const view = { data: ctx['session'], rotate: async () => {}, end: async () => {} }
    ctx.body = JSON.stringify(await handler(view, ctx.path))
  })
  return listen(app.callback())
}

/** @fastify/session by itself, with a maxAge, so that it writes and checks `cookie.expires`. */
async function serveBareFastify({ sessions, handler }: AdapterSetup): Promise<AdapterServer> {
  const app = Fastify()
  await app.register(fastifyCookie)
  const store = new FastifySessionStore(sessions)
  await app.register(session, { secret: SECRET, store, cookie: { secure: false, maxAge: HOUR } })
  app.get('*', async (request) => {
    const data = request.session as unknown as Record<string, unknown> // keys that the contract declares, not we
    return JSON.stringify(await handler({ data, rotate: async () => {}, end: async () => {} }, request.url))
  })
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  return { origin, close: () => app.close() }
}

const ADAPTERS = { serveExpress, serveFastify, serveHono, serveKoa, serveWeb, serveBareKoa, serveBareFastify }

const handler: AdapterHandler = async ({ data }, path) => {
  if (path === '/sign-in') data['user_id'] = 'ada'
  if (path === '/write') data['n'] = 1
  return data['user_id'] ?? null
}

describe.each([
  ['two hours ahead', 2 * HOUR],
  ['two hours behind', -2 * HOUR]
])('on a node whose clock is %s', (_, offsetMs) => {
  let database: TestDatabase

  beforeAll(async () => {
    database = await createTestDatabase()
  })

  afterEach(() => {
    vi.useRealTimers()
  })

  afterAll(() => database.drop())

  test.each(Object.entries(ADAPTERS))(
    '%s keeps a session that has an hour to live, and no longer',
    async (name, serve) => {
      const options = { idleTimeoutMs: HOUR, touchAfterMs: 0, pruneIntervalMs: 0 }
      await using sessions = await DefaultSessionService.connect(database.url, options)
      const server = await serve({ sessions, handler, cookie: {} })
      try {
        const browser = new Browser(server.origin)
        await browser.get('/sign-in')
        expect((await browser.get('/')).body, name).toBe('ada')
        const { cookieHeader } = browser
        vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + offsetMs, shouldAdvanceTime: true })
        for (const path of ['/', '/write', '/']) {
          const answer = await browser.send(path, cookieHeader)
          expect(answer.body, `${name} ${path}`).toBe('ada')
        }
        vi.useRealTimers()
        expect((await browser.send('/', cookieHeader)).body, name).toBe('ada')
        const [left] = await sessions.listSessionsForUser('ada')
        const [id = ''] = await sessions.getSessionIdsForUser('ada')
        expect(left?.id).toBe(id)
        const livesMs = (left?.expiresAt.getTime() ?? 0) - (left?.lastActiveAt.getTime() ?? 0)
        expect(livesMs).toBeGreaterThan(HOUR - MINUTE)
        expect(livesMs).toBeLessThan(HOUR + MINUTE)
      } finally {
        await server.close()
        await sessions.clearAllSessions()
      }
    }
  )
})
