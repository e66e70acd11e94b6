import { once } from 'node:events'
import { createServer, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import express, { type ErrorRequestHandler, type Request, type Response } from 'express'
import session from 'express-session'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  type ExpressSessionOptions,
  ExpressSessionStore,
  expressSession,
  type SessionServiceLike
} from '../../src/frameworks/express.ts'
import { ConfigurationError, DefaultSessionService } from '../../src/index.ts'
import { Browser } from '../../src/testing/contract/browser.ts'
import type { ContractStore } from '../../src/testing/session-contract.ts'
import { listen, SECRET } from '../support/adapter-servers.ts'
import { createPostgresStores, createSqliteStore } from '../support/contract-stores.ts'
import { startPostgres } from '../support/postgres.ts'
import { runScript } from '../support/run-script.ts'

/* express-session 1.19 and Express 5 over HTTP: what the shared contract of adapters does not ask. */

declare module 'express-session' {
  interface SessionData {
    visits: number
    roles: string[]
    user_id: string
  }
}

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const COOKIE = 'bodhiapp_session_id'

let stores: Awaited<ReturnType<typeof createPostgresStores>>
beforeAll(async () => {
  stores = await createPostgresStores()
})
afterAll(() => stores.drop())

const cleanUps: Array<() => Promise<unknown>> = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

type Routes = Record<string, (req: Request, res: Response) => unknown>

function done(call: (callback: (error: unknown) => void) => unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    call((error) => (error ? reject(error) : resolve()))
  })
}

const site: Routes = {
  '/': (req, res) => res.json({ user: req.session.user_id ?? null, visits: req.session.visits ?? null }),
  '/visit': (req, res) => {
    req.session.visits = (req.session.visits ?? 0) + 1
    res.json(req.session.visits)
  },
  '/sign-in': async (req, res) => {
    await done((callback) => req.session.regenerate(callback))
    req.session.user_id = 'ada'
    res.json('signed in')
  },
  '/sign-out': async (req, res) => {
    await done((callback) => req.session.destroy(callback))
    res.json('signed out')
  }
}

const onError: ErrorRequestHandler = (error, _req, res, _next) => {
  res.status(error.status ?? 500).json({ code: error.code ?? String(error) })
}

async function serveWith(middleware: express.RequestHandler, routes: Routes): Promise<Browser> {
  const app = express()
  app.set('trust proxy', 1)
  app.use(middleware)
  for (const [path, route] of Object.entries({ ...site, ...routes })) app.get(path, route)
  app.use(onError)
  const server = await listen(app)
  cleanUps.push(() => server.close())
  return new Browser(server.origin)
}

function serve(
  sessions: SessionServiceLike,
  routes: Routes = {},
  options: Omit<ExpressSessionOptions, 'secret'> = {}
): Promise<Browser> {
  return serveWith(expressSession(sessions, { secret: SECRET, ...options }), routes)
}

/** express-session as an application sets it up by itself. */
function serveBare(store: session.Store, routes: Routes = {}, options: Partial<session.SessionOptions> = {}) {
  return serveWith(
    session({ store, secret: SECRET, name: COOKIE, resave: false, saveUninitialized: false, ...options }),
    routes
  )
}

const BACKENDS = { SQLite: createSqliteStore, PostgreSQL: () => stores.createStore() }

for (const [backend, createStore] of Object.entries(BACKENDS)) {
  describe(`Express on ${backend}`, () => {
    let base: ContractStore
    let sessions: DefaultSessionService

    async function open() {
      base = await createStore()
      cleanUps.push(() => base.close())
      sessions = await base.connect()
    }

    async function only() {
      const all = await sessions.listSessionsForUser('ada')
      expect(all).toHaveLength(1)
      return all[0]
    }

    test('a regenerated session has another id, the old cookie is dead, and the user is indexed at once', async () => {
      await open()
      const browser = await serve(sessions)
      await browser.get('/visit')
      const old = browser.cookieHeader
      await browser.get('/sign-in')
      expect((await browser.get('/')).body).toEqual({ user: 'ada', visits: null })
      expect((await browser.send('/', old)).body).toEqual({ user: null, visits: null })
      expect(await sessions.countSessionsForUser('ada')).toBe(1)
      expect(await sessions.countSessions()).toBe(1)
    })

    test('a slow request brings nothing back when the user signs out meanwhile, nor when the tombstone is gone', async () => {
      await open()
      const gate = Promise.withResolvers<void>()
      const entered = Promise.withResolvers<void>()
      const browser = await serve(sessions, {
        '/slow': async (req, res) => {
          entered.resolve()
          await gate.promise
          req.session.visits = 99
          res.json('slow')
        }
      })
      await browser.get('/sign-in')
      const slow = browser.clone().get('/slow')
      await entered.promise
      const { cookieHeader } = browser
      await browser.get('/sign-out')
      await base.age(2 * DAY)
      await sessions.pruneExpired()
      gate.resolve()
      expect((await slow).status).toBe(200)
      expect(await base.countRows()).toBe(0)
      expect((await browser.send('/', cookieHeader)).body).toEqual({ user: null, visits: null })
    })

    test('of two parallel requests that change the session, the last one to end wins whole', async () => {
      await open()
      const gate = Promise.withResolvers<void>()
      const entered = Promise.withResolvers<void>()
      const browser = await serve(sessions, {
        '/slow': async (req, res) => {
          req.session.roles = ['slow']
          entered.resolve()
          await gate.promise
          res.json('slow')
        }
      })
      await browser.get('/sign-in')
      const slow = browser.clone().get('/slow')
      await entered.promise
      await browser.get('/visit')
      gate.resolve()
      await slow
      const { data } = (await only()) ?? {}
      expect(data).toMatchObject({ user_id: 'ada', roles: ['slow'] })
      expect(data).not.toHaveProperty('visits')
    })

    test('a request that changes nothing is a touch, and saves nothing', async () => {
      await open()
      const store = new ExpressSessionStore(sessions)
      const calls: string[] = []
      for (const method of ['set', 'touch'] as const) {
        const original = store[method]
        store[method] = (sid: string, value: session.SessionData, callback?: (error: unknown) => void) => {
          calls.push(method)
          original.call(store, sid, value, callback)
        }
      }
      const browser = await serveBare(store, {
        '/many': (req, res) => {
          Object.assign(req.session, { z: { b: [1, { d: null, a: 'é' }], a: 1 }, 10: 'x', 2: 'y' })
          res.json('stored')
        }
      })
      await browser.get('/many')
      await browser.get('/')
      await browser.get('/')
      expect(calls).toEqual(['set', 'touch', 'touch'])
    })

    test('cookie.maxAge of one session is its idle timeout, and no other session has it', async () => {
      await open()
      const browser = await serve(sessions, {
        '/remember': async (req, res) => {
          await done((callback) => req.session.regenerate(callback))
          req.session.user_id = 'ada'
          req.session.cookie.maxAge = 3 * DAY
          res.json(req.session.cookie.originalMaxAge)
        },
        '/max-age': (req, res) => res.json(req.session.cookie.originalMaxAge)
      })
      const other = new Browser(browser.origin)
      await other.get('/sign-in')
      const [cookie] = (await browser.get('/remember')).cookies
      expect(cookie?.livesMs).toBeGreaterThan(3 * DAY - MINUTE)
      expect(cookie?.livesMs).toBeLessThanOrEqual(3 * DAY)
      for (let round = 0; round < 2; round++) {
        await base.age(2 * DAY)
        expect((await browser.get('/max-age')).body).toBe(3 * DAY)
        expect((await browser.get('/')).body).toEqual({ user: 'ada', visits: null })
      }
      expect((await other.get('/')).body).toEqual({ user: null, visits: null })
      await base.age(3 * DAY + 1)
      expect((await browser.get('/')).body).toEqual({ user: null, visits: null })
    })

    test('the option maxAge is the idle timeout of every session, and with rolling the browser learns of it', async () => {
      await open()
      const browser = await serve(sessions, {}, { rolling: true, cookie: { maxAge: HOUR } })
      await browser.get('/sign-in')
      for (let round = 0; round < 3; round++) {
        await base.age(50 * MINUTE)
        const answer = await browser.get('/')
        expect(answer.body).toEqual({ user: 'ada', visits: null })
        expect(answer.cookies[0]?.livesMs).toBeGreaterThan(59 * MINUTE)
        expect(answer.headers['cache-control']).toBe('no-store')
      }
      await base.age(HOUR + 1)
      expect((await browser.get('/')).body).toEqual({ user: null, visits: null })
    })

    test('rolling without a maxAge sends the cookie with every response, until the absolute timeout', async () => {
      await open()
      const browser = await serve(sessions, {}, { rolling: true })
      await browser.get('/sign-in')
      const [cookie] = (await browser.get('/')).cookies
      expect(cookie?.livesMs).toBe(30 * DAY)
    })

    test('cookie.expires = false is a cookie that dies with the browser, for one session or for all', async () => {
      await open()
      const routes: Routes = {
        '/forget': (req, res) => {
          req.session.user_id = 'ada'
          Object.assign(req.session.cookie, { expires: false })
          res.json('until the browser is closed')
        }
      }
      const one = await serve(sessions, routes)
      const all = await serve(sessions, {}, { maxAge: null })
      for (const [browser, path] of [
        [one, '/forget'],
        [all, '/sign-in']
      ] as const) {
        const first = await browser.get(path)
        expect(first.cookies).toHaveLength(1)
        expect(first.cookies[0]?.livesMs).toBeUndefined()
        // express-session sends it again where the session was changed.
        for (const { livesMs } of (await browser.get('/visit')).cookies) expect(livesMs).toBeUndefined()
        await base.age(DAY - MINUTE)
        expect((await browser.get('/')).body).toMatchObject({ user: 'ada' })
        await base.age(DAY + 1)
        expect((await browser.get('/')).body).toEqual({ user: null, visits: null })
      }
    })

    test("unset: 'destroy' ends the session and clears the cookie, 'keep' does neither", async () => {
      await open()
      const routes: Routes = {
        '/unset': (req, res) => {
          Object.assign(req, { session: null })
          res.json('unset')
        }
      }
      const keeping = await serve(sessions, routes)
      await keeping.get('/sign-in')
      expect((await keeping.get('/unset')).cookies).toEqual([])
      expect((await keeping.get('/')).body).toMatchObject({ user: 'ada' })
      await sessions.clearAllSessions()
      const destroying = await serve(sessions, routes, { unset: 'destroy' })
      await destroying.get('/sign-in')
      const [cleared] = (await destroying.get('/unset')).cookies
      expect(cleared).toMatchObject({ name: COOKIE, value: '', livesMs: 0 })
      expect(await sessions.countSessions()).toBe(0)
    })

    test('a response leaves only when its session is stored', async () => {
      await open()
      const store = new ExpressSessionStore(sessions)
      const seen: string[] = []
      const browser = await serve(sessions, {
        '/redirect': (req, res) => {
          const { set } = req.sessionStore
          req.sessionStore.set = function (sid, value, callback) {
            set.call(this, sid, value, (error) => {
              seen.push(`stored, headers sent: ${res.socket?.bytesWritten !== 0}`)
              callback?.(error)
            })
          }
          req.session.user_id = 'ada'
          res.redirect('/')
        }
      })
      const answer = await browser.get('/redirect')
      expect(answer.status).toBe(302)
      expect(answer.headers.location).toBe('/')
      expect(answer.body).toBe('Found. Redirecting to /')
      expect(seen).toEqual(['stored, headers sent: false'])
      expect(store).toBeInstanceOf(session.Store)
    })

    test('streams, empty bodies, HEAD and writeHead come through as they were sent', async () => {
      await open()
      const browser = await serve(sessions, {
        '/stream': async (req, res) => {
          req.session.visits = 1
          for (const part of ['a', 'b', 'c']) res.write(part)
          res.end('d')
        },
        '/empty': (req, res) => {
          req.session.visits = 2
          res.status(204).end()
        },
        '/raw': (req, res) => {
          req.session.visits = 3
          res.writeHead(201, 'Made', { 'Content-Type': 'text/plain', 'X-Raw': 'yes', 'Content-Length': 3 })
          res.end('raw')
        },
        '/on': (req, res) => {
          req.session.visits = 4
          res.send('first')
          res.set('X-Late', 'too late').status(500)
          res.end('second')
        }
      })
      expect((await browser.get('/stream')).body).toBe('abcd')
      expect(await browser.get('/empty')).toMatchObject({ status: 204, body: '' })
      expect(await browser.get('/raw')).toMatchObject({
        status: 201,
        body: 'raw',
        headers: { 'x-raw': 'yes' }
      })
      const on = await browser.get('/on')
      expect(on).toMatchObject({ status: 200, body: 'first', headers: { 'content-length': '5' } })
      expect(on.headers).not.toHaveProperty('x-late')
      const head = httpRequest(new URL('/visit', browser.origin), {
        method: 'HEAD',
        headers: { cookie: browser.cookieHeader, 'x-forwarded-proto': 'https' }
      }).end()
      const [response] = await once(head, 'response')
      expect(response.statusCode).toBe(200)
      response.resume()
      expect((await browser.get('/')).body).toMatchObject({ visits: 5 })
    })

    test('what cannot be stored is a 500 without a cookie, and the session stays as it was', async () => {
      await open()
      const browser = await serve(sessions, {
        '/bad': (req, res) => {
          Object.assign(req.session, { bad: Number.NaN })
          res.set('ETag', 'x').status(201).json('stored')
        }
      })
      const stranger = await browser.clone().get('/bad')
      expect(stranger).toMatchObject({ status: 500, body: { code: 'SESSION_DATA' }, cookies: [] })
      expect(stranger.headers['etag']).not.toBe('x')
      await browser.get('/sign-in')
      expect((await browser.get('/bad')).status).toBe(500)
      expect((await browser.get('/')).body).toEqual({ user: 'ada', visits: null })
    })

    test("an error's own response goes out where its session cannot be stored, without a cookie", async () => {
      await open()
      const middleware = expressSession(sessions, { secret: SECRET })
      const heard: unknown[] = []
      const browser = await serveWith(middleware, {
        '/fail': (req) => {
          req.sessionStore.on('error', (error) => heard.push(error))
          Object.assign(req.session, { bad: Number.NaN })
          throw Object.assign(new Error('on purpose'), { status: 502 })
        }
      })
      expect(await browser.get('/fail')).toMatchObject({
        status: 502,
        body: { code: 'Error: on purpose' },
        cookies: []
      })
      expect(heard).toEqual([expect.objectContaining({ code: 'SESSION_DATA' })])
    })

    test('a service that is closed is a 500 for those with a session, and no concern of visitors', async () => {
      await open()
      const service = await base.connect()
      const browser = await serve(service)
      await browser.get('/sign-in')
      await service.close()
      expect(await browser.get('/')).toMatchObject({
        status: 500,
        body: { code: 'SESSION_CLOSED' },
        cookies: []
      })
      expect(await new Browser(browser.origin).get('/')).toMatchObject({ status: 200, cookies: [] })
      expect((await new Browser(browser.origin).get('/sign-in')).status).toBe(500)
    })
  })
}

describe('while the service is not there', () => {
  test('requests with a session wait for the promise', async () => {
    const base = await createSqliteStore()
    cleanUps.push(() => base.close())
    const sessions = await base.connect()
    const before = await serve(sessions)
    await before.get('/sign-in')
    const { promise, resolve } = Promise.withResolvers<DefaultSessionService>()
    const after = await serve(promise)
    const waiting = after.send('/', before.cookieHeader)
    expect((await after.get('/')).body).toEqual({ user: null, visits: null })
    resolve(sessions)
    expect((await waiting).body).toEqual({ user: 'ada', visits: null })
  })

  test('a promise that rejects is a 503, and the process lives on', async () => {
    const browser = await serve(Promise.reject(new Error('no such host')))
    expect(await browser.get('/sign-in')).toMatchObject({
      status: 503,
      body: { code: 'SESSION_BACKEND_UNAVAILABLE' },
      cookies: []
    })
    expect((await browser.get('/')).status).toBe(200)
  })

  test('a promise of something else is an error for the requests, and the process lives on', async () => {
    const browser = await serve(Promise.resolve({}) as never)
    expect(await browser.get('/sign-in')).toMatchObject({ status: 503, cookies: [] })
  })
})

describe('while PostgreSQL is away', () => {
  test('requests with a session are a 503 and nobody is signed out, whatever unset says', async () => {
    await using server = await startPostgres()
    await using sessions = await DefaultSessionService.connect(server.url, {
      touchAfterMs: 0,
      postgres: { connectTimeoutMs: 1_000, statementTimeoutMs: 2_000 }
    })
    let isHeld = false
    const gate = Promise.withResolvers<void>()
    const entered = Promise.withResolvers<void>()
    const routes: Routes = {
      '/held': async (req, res) => {
        if (!isHeld) {
          isHeld = true
          entered.resolve()
          await gate.promise
        }
        req.session.visits = 7
        res.json('held')
      }
    }
    const keeping = await serve(sessions, routes)
    const destroying = await serve(sessions, routes, { unset: 'destroy' })
    for (const browser of [keeping, destroying]) await browser.get('/sign-in')
    const held = keeping.clone().get('/held')
    await entered.promise
    await server.stop('immediate')
    for (const browser of [keeping, destroying]) {
      for (const path of ['/', '/visit', '/sign-in', '/sign-out']) {
        const answer = await browser.get(path)
        expect(answer, path).toMatchObject({
          status: 503,
          body: { code: 'SESSION_BACKEND_UNAVAILABLE' },
          cookies: []
        })
      }
    }
    // A request that had its session before the outage: it can neither save nor touch.
    gate.resolve()
    expect(await held).toMatchObject({ status: 503, cookies: [] })
    await server.start()
    for (const browser of [keeping, destroying]) {
      expect((await browser.get('/')).body).toEqual({ user: 'ada', visits: null })
    }
    expect(await sessions.countSessionsForUser('ada')).toBe(2)
  })

  test("an error's response that comes after the outage does not end the session that failed to load", async () => {
    const base = await createSqliteStore()
    cleanUps.push(() => base.close())
    const sessions = await base.connect()
    const app = express()
    app.set('trust proxy', 1)
    app.use(expressSession(sessions, { secret: SECRET, unset: 'destroy' }))
    for (const [path, route] of Object.entries(site)) app.get(path, route)
    let repair = async () => {}
    const afterRepair: ErrorRequestHandler = async (_error, _req, res, _next) => {
      await repair()
      res.status(503).json('failed')
    }
    app.use(afterRepair)
    const server = await listen(app)
    cleanUps.push(() => server.close())
    const browser = new Browser(server.origin)
    await browser.get('/sign-in')
    repair = await base.breakDown()
    expect((await browser.get('/')).status).toBe(503)
    expect((await browser.get('/')).body).toEqual({ user: 'ada', visits: null })
  })
})

describe('cookies', () => {
  async function connect() {
    const sessions = await DefaultSessionService.connect('sqlite::memory:')
    cleanUps.push(() => sessions.close())
    return sessions
  }

  test('every secret of an array is accepted, and the first one signs', async () => {
    const sessions = await connect()
    const [old, fresh] = ['o'.repeat(32), Buffer.alloc(32, 7)]
    const before = await serveWith(expressSession(sessions, { secret: old }), {})
    await before.get('/sign-in')
    const during = await serveWith(expressSession(sessions, { secret: [fresh, old] }), {})
    expect((await during.send('/', before.cookieHeader)).body).toMatchObject({ user: 'ada' })
    await during.get('/sign-in')
    const after = await serveWith(expressSession(sessions, { secret: fresh }), {})
    expect((await after.send('/', during.cookieHeader)).body).toMatchObject({ user: 'ada' })
    expect((await after.send('/', before.cookieHeader)).body).toMatchObject({ user: null })
  })

  test('a response that sets the cookie is not cached, whatever the handler has said', async () => {
    const browser = await serve(await connect(), {
      '/cached': (req, res) => {
        req.session.visits = 1
        res.set('Cache-Control', 'public, max-age=3600').cookie('other', '1').json('cached')
      }
    })
    const answer = await browser.get('/cached')
    expect(answer.headers['cache-control']).toBe('no-store')
    expect(answer.cookies.map(({ name }) => name)).toEqual(['other', COOKIE])
    expect((await browser.get('/cached')).headers['cache-control']).toBe('public, max-age=3600')
  })

  test('a cookie that the handler clears itself is not cleared twice', async () => {
    const browser = await serve(await connect(), {
      '/leave': async (req, res) => {
        await done((callback) => req.session.destroy(callback))
        res.clearCookie(COOKIE).json('left')
      }
    })
    await browser.get('/sign-in')
    expect((await browser.get('/leave')).cookies).toHaveLength(1)
  })

  test('a sign-out that does not wait for the store ends the session all the same', async () => {
    const sessions = await connect()
    const browser = await serve(sessions, {
      '/leave': (req, res) => {
        req.session.destroy(() => res.json('left'))
      }
    })
    await browser.get('/sign-in')
    await browser.get('/leave')
    expect(await sessions.countSessions()).toBe(0)
  })

  test('a cookie that comes twice is a stranger, also where cookie-parser has read it before', async () => {
    const sessions = await connect()
    const signedIn = await serve(sessions)
    await signedIn.get('/sign-in')
    const middleware = expressSession(sessions, { secret: SECRET })
    const browser = await serveWith(
      (req, res, next) => {
        // As cookie-parser leaves it: the first of two.
        const [, value = ''] = signedIn.cookieHeader.split('=')
        Object.assign(req, { cookies: { [COOKIE]: decodeURIComponent(value) } })
        middleware(req, res, next)
      },
      { '/header': (req, res) => res.json(req.headers.cookie) }
    )
    const twice = `${signedIn.cookieHeader}; a=1; ${signedIn.cookieHeader}`
    expect((await browser.send('/', twice)).body).toMatchObject({ user: null })
    expect((await browser.send('/header', twice)).body).toBe(twice)
  })

  test('the middleware can stand twice in an application, and under a path', async () => {
    const sessions = await connect()
    const again = expressSession(sessions, { secret: SECRET })
    const browser = await serve(sessions, {
      '/again': async (req, res) => {
        await done((callback) => again(req, res, callback))
        req.session.visits = 1
        res.json('again')
      }
    })
    expect((await browser.get('/again')).cookies).toHaveLength(1)
    const below = await serve(
      sessions,
      { '/app/x': (req, res) => res.json(typeof req.session) },
      { path: '/app' }
    )
    expect((await below.get('/app/x')).body).toBe('object')
  })

  test("the request of a WebSocket's upgrade has its session", async () => {
    const sessions = await connect()
    const middleware = expressSession(sessions, { secret: SECRET })
    const browser = await serveWith(middleware, {})
    await browser.get('/sign-in')
    const server = createServer().listen(0, '127.0.0.1')
    cleanUps.push(async () => server.close())
    await once(server, 'listening')
    server.on('upgrade', (req, socket) => {
      const request = req as Request // what the middleware makes of it
      middleware(request, {} as Response, () => {
        socket.end(
          `HTTP/1.1 401 Unauthorized\r\nX-User: ${request.session.user_id}\r\nContent-Length: 0\r\n\r\n`
        )
      })
    })
    const outgoing = httpRequest({
      port: (server.address() as AddressInfo).port,
      host: '127.0.0.1',
      headers: { connection: 'Upgrade', upgrade: 'websocket', cookie: browser.cookieHeader }
    }).end()
    const [response] = await once(outgoing, 'response')
    expect(response.headers['x-user']).toBe('ada')
    response.resume()
  })

  test('a Secure cookie that express-session keeps back is told once, with the cure', async () => {
    const { stdout } = await runScript(`
      import express from 'express'
      import { expressSession } from './src/frameworks/express.ts'
      import { DefaultSessionService } from './src/index.ts'
      process.on('warning', ({ code, message }) => { if (code) console.log(code, message) })
      const sessions = await DefaultSessionService.connect('sqlite::memory:')
      const ask = async (options, headers, trust) => {
        const app = express()
        if (trust) app.set('trust proxy', 1)
        app.use(expressSession(sessions, { secret: 'x'.repeat(32), ...options }))
        app.get('/write', (req, res) => { req.session.n = 1; res.send('ok') })
        app.get('/', (req, res) => res.send('ok'))
        const server = app.listen(0, '127.0.0.1')
        await new Promise((resolve) => server.once('listening', resolve))
        for (const path of ['/', '/write', '/write']) {
          const { headers: got } = await fetch('http://127.0.0.1:' + server.address().port + path, { headers })
          console.log(path, got.has('set-cookie'))
        }
        server.close()
      }
      await ask({}, { 'x-forwarded-proto': 'https' }, true)
      await ask({ proxy: true }, { 'x-forwarded-proto': 'https' }, false)
      await ask({ secure: false }, {}, false)
      await ask({}, { 'x-forwarded-proto': 'https' }, false)
      await sessions.close()`)
    const sent = ['/ false', '/write true', '/write true']
    const lines = stdout.trim().split('\n')
    const warnings = lines.filter((line) => line.startsWith('BODHI_'))
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatch(
      /^BODHI_SESSION_INSECURE_REQUEST express-session sent no session cookie.*'trust proxy'/
    )
    expect(lines.filter((line) => !line.startsWith('BODHI_'))).toEqual([
      ...sent,
      ...sent,
      ...sent,
      '/ false',
      '/write false',
      '/write false'
    ])
    // Nobody was warned while cookies were sent.
    expect(lines.indexOf(warnings[0] ?? '')).toBeGreaterThanOrEqual(2 * sent.length + sent.length)
  })
})

describe('the options of expressSession', () => {
  const sessions = new Promise<never>(() => {})
  const secret = 's'.repeat(32)

  const wrong: Array<[options: object | undefined, message: RegExp]> = [
    [undefined, /secret is missing.*32 characters or more.*openssl rand/],
    [{}, /secret is missing/],
    [{ secret: '' }, /secret must be 32 characters or more/],
    [{ secret: 'keyboard cat' }, /secret must be .* but got a string/],
    [{ secret: [] }, /secret must be/],
    [{ secret: [secret, 'short'] }, /secret must be/],
    [{ secret: Buffer.alloc(31) }, /secret must be/],
    [{ secret, resave: false }, /Unknown option resave\. Known options: .*secret/],
    [{ secret, store: {} }, /Unknown option store/],
    [{ secret, signed: true }, /Unknown option signed/],
    [{ secret, idleTimeoutMs: 1 }, /Unknown option idleTimeoutMs/],
    [{ secret, name: 'a b' }, /cookie option name|option name/],
    [{ secret, secure: 'auto' }, /secure must be true or false/],
    [{ secret, sameSite: true }, /sameSite must be/],
    [{ secret, sameSite: 'none', secure: false }, /needs secure: true/],
    [{ secret, prefix: '__Host-', secure: false }, /__Host- needs secure: true/],
    [{ secret, prefix: '__Host-', cookie: { path: '/app' } }, /__Host- needs path/],
    [{ secret, maxAge: 0 }, /maxAge must be a number of milliseconds, 1 or more, or null/],
    [{ secret, cookie: { maxAge: '1h' } }, /maxAge must be/],
    [{ secret, cookie: { httpOnly: false } }, /httpOnly must be true/],
    [{ secret, cookie: 'a=b' }, /cookie must be an object/],
    [{ secret, secure: true, cookie: { secure: false } }, /secure is given twice/],
    [{ secret, rolling: 'yes' }, /rolling must be true or false/],
    [{ secret, unset: 'delete' }, /unset must be 'keep' or 'destroy'/],
    [{ secret, proxy: 1 }, /proxy must be true or false/]
  ]

  for (const [options, message] of wrong) {
    test(`${message.source} for ${Object.keys(options ?? {}).join(', ') || 'none'}`, () => {
      expect(() => expressSession(sessions, options as never)).toThrow(message)
      expect(() => expressSession(sessions, options as never)).toThrow(ConfigurationError)
    })
  }

  test('no message shows a secret', () => {
    expect(() => expressSession(sessions, { secret: 'keyboard cat' })).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining('keyboard') })
    )
  })

  test('something that is no service is refused at once', () => {
    expect(() => expressSession(undefined as never, { secret })).toThrow(ConfigurationError)
  })
})
