import fastifyCookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { afterEach, describe, expect, test } from 'vitest'
import { FastifySessionStore, fastifySession } from '../../src/frameworks/fastify.ts'
import { DefaultSessionService, type SessionInfo } from '../../src/index.ts'
import { Browser } from '../../src/testing/contract/browser.ts'
import { SECRET } from '../support/adapter-servers.ts'

/* @fastify/session 11 with a bare store: what its own source does to a store, each as a test. */

const HOUR = 3_600_000
const open: AsyncDisposable[] = []

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one[Symbol.asyncDispose]()
})

async function connect(options = {}): Promise<DefaultSessionService> {
  const sessions = await DefaultSessionService.connect('sqlite::memory:', { touchAfterMs: 0, ...options })
  open.push(sessions)
  return sessions
}

type Own = Record<string, unknown> & FastifyRequest['session']
type Routes = Record<string, (session: Own, request: FastifyRequest, reply: FastifyReply) => unknown>

/** @fastify/session as an application sets it up by itself, with our store. */
async function serve(sessions: DefaultSessionService, options: object, routes: Routes): Promise<Browser> {
  const app = Fastify()
  await app.register(fastifyCookie)
  const store = new FastifySessionStore(sessions)
  await app.register(session, {
    secret: SECRET,
    store,
    cookie: { secure: false },
    saveUninitialized: false,
    ...options
  })
  return start(app, routes)
}

async function start(app: FastifyInstance, routes: Routes): Promise<Browser> {
  for (const [path, handle] of Object.entries(routes)) {
    app.get(path, async (request, reply) => (await handle(request.session as Own, request, reply)) ?? 'done')
  }
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  open.push({ [Symbol.asyncDispose]: () => app.close() })
  return new Browser(origin, {})
}

async function only(sessions: DefaultSessionService): Promise<SessionInfo> {
  const all: SessionInfo[] = []
  for await (const info of sessions.dumpAllSessions()) all.push(info)
  expect(all).toHaveLength(1)
  return all[0] as SessionInfo
}

function countPuts(sessions: DefaultSessionService): () => number {
  let puts = 0
  const put = sessions.put.bind(sessions)
  sessions.put = (...call) => {
    puts++
    return put(...call)
  }
  return () => puts
}

const lifeOf = ({ expiresAt, lastActiveAt }: SessionInfo) => expiresAt.getTime() - lastActiveAt.getTime()
const WRITE: Routes = {
  '/write': (own) => {
    own['n'] = 1
  },
  '/read': (own) => ({ n: own['n'] ?? null })
}

describe('a bare FastifySessionStore', () => {
  test('turns the full save of every request into a touch where nothing changed', async () => {
    const sessions = await connect()
    const puts = countPuts(sessions)
    let touches = 0
    const touch = sessions.touch.bind(sessions)
    sessions.touch = (...call) => {
      touches++
      return touch(...call)
    }
    const browser = await serve(sessions, {}, WRITE)
    await browser.get('/write')
    for (let n = 0; n < 3; n++) expect((await browser.get('/read')).body).toEqual({ n: 1 })
    expect(puts()).toBe(1)
    expect(touches).toBe(3)
  })

  test('an unchanged request does not write back what it loaded over the change of a parallel one', async () => {
    const sessions = await connect()
    const gate = Promise.withResolvers<void>()
    const reached = Promise.withResolvers<void>()
    const browser = await serve(
      sessions,
      {},
      {
        '/slow': async () => {
          reached.resolve()
          await gate.promise
        },
        '/toggle': (own) => {
          own['on'] = !own['on']
        },
        '/read': (own) => ({ on: own['on'] ?? null })
      }
    )
    await browser.get('/toggle')
    const slow = browser.clone().get('/slow')
    await reached.promise
    await browser.get('/toggle')
    gate.resolve()
    await slow
    expect((await browser.get('/read')).body).toEqual({ on: false })
    // Back to what was loaded before, which is a change all the same.
    await browser.get('/toggle')
    expect((await browser.get('/read')).body).toEqual({ on: true })
  })

  test('a save after a destroy succeeds, and stores nothing', async () => {
    const sessions = await connect()
    const browser = await serve(
      sessions,
      {},
      {
        ...WRITE,
        '/end': async (own) => {
          await own.destroy()
          own['n'] = 2
          await own.save()
        }
      }
    )
    await browser.get('/write')
    expect((await browser.get('/end')).status).toBe(200)
    expect(await sessions.countSessions()).toBe(0)
    expect((await browser.get('/read')).body).toEqual({ n: null })
  })

  test('a reload of a session that has ended gives an empty one, which is not stored under the old token', async () => {
    const sessions = await connect()
    const browser = await serve(
      sessions,
      {},
      {
        ...WRITE,
        '/reload': async (own, request) => {
          await sessions.clearAllSessions()
          await own.reload()
          Reflect.set(request.session, 'n', 2)
        }
      }
    )
    await browser.get('/write')
    await browser.get('/reload')
    expect(await sessions.countSessions()).toBe(0)
    expect((await browser.get('/read')).body).toEqual({ n: null })
  })

  test('does not bring a session back that outlives its tombstone', async () => {
    const sessions = await connect({ tombstoneMs: 1_000 })
    const store = new FastifySessionStore(sessions)
    const stored = { cookie: { originalMaxAge: null }, n: 1 }
    const set = () =>
      new Promise<unknown>((resolve) => {
        store.set('token', stored, resolve)
      })
    expect(await set()).toBeNull()
    await sessions.destroy('token')
    await new Promise((resolve) => setTimeout(resolve, 1_100)) // the tombstone's least life, on the database's clock
    expect(await sessions.pruneExpired()).toBe(0)
    expect(await set()).toBeNull()
    expect(await sessions.countSessions()).toBe(0)
  })

  test('takes cookie.maxAge as the idle timeout, cut at the absolute one, and keeps it and the other attributes', async () => {
    const sessions = await connect({ idleTimeoutMs: HOUR, absoluteTimeoutMs: 10 * HOUR })
    const browser = await serve(
      sessions,
      { cookie: { secure: false, maxAge: 2 * HOUR } },
      {
        ...WRITE,
        '/remember': (own) => own.options({ maxAge: 100 * HOUR, sameSite: 'lax' }) ?? 'done',
        '/cookie': (own) => own.cookie
      }
    )
    await browser.get('/write')
    expect(lifeOf(await only(sessions))).toBe(2 * HOUR)
    await browser.get('/remember')
    // Counted from the creation, a moment before.
    expect(lifeOf(await only(sessions))).toBeGreaterThan(9 * HOUR)
    expect(lifeOf(await only(sessions))).toBeLessThanOrEqual(10 * HOUR)
    expect((await browser.get('/cookie')).body).toMatchObject({ originalMaxAge: 100 * HOUR, sameSite: 'lax' })
  })

  test("without maxAge the service's idle timeout holds", async () => {
    const sessions = await connect({ idleTimeoutMs: HOUR })
    const browser = await serve(sessions, {}, WRITE)
    await browser.get('/write')
    await browser.get('/read')
    expect(lifeOf(await only(sessions))).toBe(HOUR)
  })

  test('an explicit cookie.expires is an end that does not slide', async () => {
    const sessions = await connect()
    const expires = new Date(Date.now() + 2 * HOUR)
    const browser = await serve(sessions, { cookie: { secure: false, expires } }, WRITE)
    await browser.get('/write')
    for (let n = 0; n < 2; n++) expect((await browser.get('/read')).body).toEqual({ n: 1 })
    const { expiresAt } = await only(sessions)
    expect(Math.abs(expiresAt.getTime() - expires.getTime())).toBeLessThan(60_000)
  })

  test('calls back once, also where the callback throws', async () => {
    const sessions = await connect()
    const store = new FastifySessionStore(sessions)
    const thrown = new Promise((resolve) => {
      const listeners = process.listeners('uncaughtException')
      process.removeAllListeners('uncaughtException')
      process.once('uncaughtException', (error) => {
        for (const listener of listeners) process.on('uncaughtException', listener)
        resolve(error)
      })
    })
    let calls = 0
    store.get('token', () => {
      calls++
      throw new Error('in the callback')
    })
    expect(await thrown).toMatchObject({ message: 'in the callback' })
    expect(calls).toBe(1)
  })

  test('fails the request where the store fails, on the way in and on the way out', async () => {
    const sessions = await connect()
    const browser = await serve(sessions, {}, WRITE)
    await browser.get('/write')
    await sessions.close()
    expect((await browser.get('/read')).status).toBe(500)
    expect((await new Browser(browser.origin, {}).get('/write')).status).toBe(500)
  })

  test('survives data with __proto__ as a key', async () => {
    const sessions = await connect()
    const { token } = await sessions.create(JSON.parse('{"__proto__":{"save":1},"n":1}'))
    const loaded = await new Promise((resolve, reject) => {
      new FastifySessionStore(sessions).get(token, (error, found) => (error ? reject(error) : resolve(found)))
    })
    expect(Object.keys(Object(loaded))).toEqual(['n', 'cookie'])
  })
})

describe('fastifySession', () => {
  async function register(options: object): Promise<FastifyInstance> {
    const app = Fastify()
    await app.register(fastifySession, { sessions: await connect(), secret: SECRET, ...options })
    return app
  }

  test('refuses a missing or short secret, alone or in a list, without showing it', async () => {
    await expect(register({ secret: undefined })).rejects.toThrow(
      /secret is missing.*openssl rand -base64 32/
    )
    for (const secret of ['short and secret', [SECRET, 'short and secret'], []]) {
      await expect(register({ secret })).rejects.toThrow(/secret must be a string of at least 32 characters/)
      await expect(register({ secret })).rejects.not.toThrow(/short and secret/)
    }
  })

  test("refuses another framework's options, and a service that is none", async () => {
    await expect(register({ keys: [SECRET] })).rejects.toThrow(
      /Unknown option keys\. Known options: name, secure/
    )
    await expect(register({ sessions: {} })).rejects.toThrow(/needs the DefaultSessionService/)
  })

  test('works with a @fastify/cookie that is there already, for routes inside and outside of plugins', async () => {
    const app = Fastify()
    await app.register(fastifyCookie)
    await app.register(fastifySession, { sessions: await connect(), secret: SECRET, secure: false })
    await app.register(async (inner) => {
      inner.get('/inner', async (request) => ({ n: Reflect.get(request.session, 'n') ?? null }))
    })
    const browser = await start(app, WRITE)
    await browser.get('/write')
    expect((await browser.get('/inner')).body).toEqual({ n: 1 })
  })

  test('a secret that was replaced signs nobody out, and the cookie is signed anew', async () => {
    const sessions = await connect()
    const old = Fastify()
    await old.register(fastifySession, { sessions, secret: [SECRET], secure: false })
    const before = await start(old, WRITE)
    await before.get('/write')
    const app = Fastify()
    await app.register(fastifySession, { sessions, secret: ['n'.repeat(32), SECRET], secure: false })
    const browser = await start(app, WRITE)
    for (const [name, value] of before.cookies) browser.cookies.set(name, value)
    expect((await browser.get('/read')).body).toEqual({ n: 1 })
    expect(browser.cookieHeader).not.toBe(before.cookieHeader)
    const again = await browser.get('/read')
    expect(again.body).toEqual({ n: 1 })
    expect(again.cookies).toEqual([])
  })

  test("leaves other plugins' cookies alone, and may cache what sets only those", async () => {
    const app = Fastify()
    await app.register(fastifySession, { sessions: await connect(), secret: SECRET, secure: false })
    const browser = await start(app, {
      ...WRITE,
      '/theme': (_own, _request, reply) => void reply.setCookie('theme', 'dark')
    })
    await browser.get('/write')
    const answer = await browser.get('/theme')
    expect(answer.cookies.map(({ name }) => name)).toEqual(['theme'])
    expect(answer.headers['cache-control']).toBeUndefined()
  })

  test('behind a proxy that is not trusted it says once why there is no cookie, and how to cure it', async () => {
    const app = await register({})
    const warnings: Error[] = []
    const warn = (warning: Error) => warnings.push(warning)
    process.on('warning', warn)
    const browser = await start(app, WRITE)
    expect((await browser.get('/write')).cookies).toEqual([])
    await browser.get('/write')
    await new Promise(setImmediate)
    process.off('warning', warn)
    expect(warnings.map(({ message }) => message)).toEqual([
      expect.stringMatching(/Fastify sent no session cookie.*set trustProxy/)
    ])
  })
})
