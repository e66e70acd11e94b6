import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DefaultSessionService } from '../../src/index.ts'
import type { AdapterHandler, AdapterServer, AdapterSetup } from '../../src/testing/adapter-contract.ts'
import { Browser } from '../../src/testing/contract/browser.ts'
import {
  serveExpress,
  serveFastify,
  serveHono,
  serveKoa,
  serveWeb,
  serveWebHandle
} from '../support/adapter-servers.ts'
import { startPostgres, type TestServer } from '../support/postgres.ts'

const ADAPTERS = { serveExpress, serveFastify, serveHono, serveKoa, serveWeb, serveWebHandle }

const handler: AdapterHandler = async (session, path) => {
  if (path === '/sign-in') session.data['user_id'] = 'ada'
  return { user: session.data['user_id'] ?? null }
}

async function withServers(
  setup: Omit<AdapterSetup, 'handler' | 'cookie'>,
  body: (browsers: Map<string, Browser>) => Promise<void>
): Promise<void> {
  const servers: AdapterServer[] = []
  try {
    const browsers = new Map<string, Browser>()
    for (const [name, serve] of Object.entries(ADAPTERS)) {
      const server = await serve({ ...setup, handler, cookie: {} })
      servers.push(server)
      browsers.set(name, new Browser(server.origin))
    }
    await body(browsers)
  } finally {
    for (const server of servers) await server.close()
  }
}

describe('while PostgreSQL is away', () => {
  let postgres: TestServer

  beforeAll(async () => {
    postgres = await startPostgres()
  })

  afterAll(() => postgres.close())

  test('every framework answers 503, visitors are served, and nobody is signed out', async () => {
    await using sessions = await DefaultSessionService.connect(postgres.url, {
      postgres: { connectTimeoutMs: 1_000, statementTimeoutMs: 2_000 }
    })
    await withServers({ sessions }, async (browsers) => {
      for (const [name, browser] of browsers) {
        expect((await browser.get('/sign-in')).status, name).toBe(200)
      }
      await postgres.stop('immediate')
      try {
        for (const [name, browser] of browsers) {
          const answer = await browser.get('/')
          expect(answer.status, name).toBe(503)
          expect(answer.cookies, name).toEqual([])
          expect((await new Browser(browser.origin).get('/')).status, name).toBe(200)
        }
      } finally {
        await postgres.start()
      }
      for (const [name, browser] of browsers) {
        expect((await browser.get('/')).body, name).toEqual({ user: 'ada' })
      }
    })
  })
})

describe('before the service is connected', () => {
  test('visitors are served, requests with a cookie wait for the service, and then have their session', async () => {
    await using real = await DefaultSessionService.connect('sqlite::memory:')
    const { promise, resolve } = Promise.withResolvers<DefaultSessionService>()
    await withServers({ sessions: promise }, async (browsers) => {
      for (const [name, browser] of browsers) expect((await browser.get('/')).status, name).toBe(200)
      const signingIn = [...browsers].map(async ([name, browser]) => {
        expect((await browser.get('/sign-in')).status, name).toBe(200)
        expect((await browser.get('/')).body, name).toEqual({ user: 'ada' })
      })
      resolve(real)
      await Promise.all(signingIn)
    })
  })

  test('a service that cannot be connected is a 503 for whoever has a cookie, and no unhandled rejection', async () => {
    const unhandled: unknown[] = []
    const note = (reason: unknown) => unhandled.push(reason)
    process.on('unhandledRejection', note)
    const sessions = DefaultSessionService.connect('postgres://nobody:secret@127.0.0.1:1/none')
    await withServers({ sessions }, async (browsers) => {
      // One that has the form of each framework's cookies, signed where they are signed.
      await using real = await DefaultSessionService.connect('sqlite::memory:')
      await withServers({ sessions: real }, async (others) => {
        for (const [name, other] of others) {
          await other.get('/sign-in')
          const answer = await browsers.get(name)?.send('/', other.cookieHeader)
          expect(answer?.status, name).toBe(503)
          expect(JSON.stringify(answer), name).not.toContain('secret@')
        }
      })
    })
    process.off('unhandledRejection', note)
    expect(unhandled).toEqual([])
  })
})
