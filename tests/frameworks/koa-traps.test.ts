import Koa from 'koa'
import createSession from 'koa-session'
import { afterEach, describe, expect, test } from 'vitest'
import { type KoaSessionMethods, KoaSessionStore, koaSession } from '../../src/frameworks/koa.ts'
import { DefaultSessionService, type Session } from '../../src/index.ts'
import { Browser } from '../../src/testing/contract/browser.ts'
import { listen, SECRET } from '../support/adapter-servers.ts'

/* koa-session 7 with a bare store: what its own source does to a store, each as a test. */

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

type Routes = Record<string, (session: Record<string, unknown> & KoaSessionMethods) => unknown>

/** koa-session as an application sets it up by itself, with our store. */
async function serve(
  sessions: DefaultSessionService,
  options: Record<string, unknown>,
  routes: Routes
): Promise<Browser> {
  const app = new Koa()
  app.keys = [SECRET]
  app.silent = true
  app.use(createSession({ store: new KoaSessionStore(sessions), ...options }, app))
  app.use(routesOf(routes))
  return start(app)
}

function routesOf(routes: Routes): Koa.Middleware {
  return async (ctx) => {
    ctx.body = (await routes[ctx.path]?.(ctx['session'])) ?? 'done'
  }
}

async function start(app: Koa): Promise<Browser> {
  const server = await listen(app.callback())
  open.push({ [Symbol.asyncDispose]: () => server.close() })
  return new Browser(server.origin, {})
}

async function only(sessions: DefaultSessionService): Promise<Session> {
  const all: Session[] = []
  for await (const info of sessions.dumpAllSessions()) all.push(info as Session)
  expect(all).toHaveLength(1)
  return all[0] as Session
}

const lifeOf = ({ expiresAt, lastActiveAt }: Session) => expiresAt.getTime() - lastActiveAt.getTime()

describe('a bare KoaSessionStore', () => {
  test('takes maxAge, without the ten seconds that koa-session adds, as the idle timeout, and stores no key of its own', async () => {
    const sessions = await connect()
    const browser = await serve(
      sessions,
      { maxAge: HOUR },
      {
        '/': (session) => {
          session['n'] = 1
        }
      }
    )
    await browser.get('/')
    const session = await only(sessions)
    expect(lifeOf(session)).toBe(HOUR)
    expect(session.data).toEqual({ n: 1 })
  })

  test("knows 'session' and no maxAge at all as the service's own idle timeout", async () => {
    for (const options of [{ maxAge: 'session' }, {}]) {
      const sessions = await connect({ idleTimeoutMs: 2 * HOUR })
      const browser = await serve(sessions, options, {
        '/': async (session) => {
          session['n'] = Number(session['n'] ?? 0) + 1
          await session.save()
          session['n'] = Number(session['n']) + 1
        }
      })
      await browser.get('/')
      expect(lifeOf(await only(sessions))).toBe(2 * HOUR)
      await browser.get('/')
      expect((await only(sessions)).data).toEqual({ n: 4 })
    }
  })

  test('cuts maxAge at the absolute timeout', async () => {
    const sessions = await connect({ idleTimeoutMs: HOUR, absoluteTimeoutMs: 3 * HOUR })
    const browser = await serve(
      sessions,
      { maxAge: 100 * HOUR },
      {
        '/': (session) => {
          session['n'] = 1
        }
      }
    )
    await browser.get('/')
    expect(lifeOf(await only(sessions))).toBe(3 * HOUR)
  })

  test('writes nothing for an unchanged session, rolling or not, but extends it', async () => {
    const sessions = await connect()
    let puts = 0
    const put = sessions.put.bind(sessions)
    sessions.put = (...call) => {
      puts++
      return put(...call)
    }
    const browser = await serve(
      sessions,
      { maxAge: HOUR, rolling: true },
      { '/write': (session) => Reflect.set(session, 'n', 1) }
    )
    await browser.get('/write')
    const before = await only(sessions)
    expect(puts).toBe(1)
    for (let n = 0; n < 3; n++) await browser.get('/')
    expect(puts).toBe(1)
    expect((await only(sessions)).lastActiveAt.getTime()).toBeGreaterThan(before.lastActiveAt.getTime() - 1)
  })

  test('loses no regenerate(), save() or maxAge, which koa-session reports as unchanged', async () => {
    const sessions = await connect()
    const browser = await serve(
      sessions,
      { maxAge: HOUR },
      {
        '/write': (session) => {
          session['n'] = 1
        },
        '/save': async (session) => {
          session['n'] = 2
          await session.save()
        },
        '/max-age': (session) => {
          session.maxAge = 5 * HOUR
        },
        '/regenerate': (session) => session.regenerate(),
        '/read': ({ n, maxAge }) => ({ n, maxAge })
      }
    )
    await browser.get('/write')
    const first = await only(sessions)
    await browser.get('/save')
    expect((await only(sessions)).data).toEqual({ n: 2 })
    await browser.get('/max-age')
    expect(lifeOf(await only(sessions))).toBe(5 * HOUR)
    expect((await browser.get('/read')).body).toEqual({ n: 2, maxAge: 5 * HOUR })
    await browser.get('/regenerate')
    const last = await only(sessions)
    expect(last.id).not.toBe(first.id)
    expect(last.data).toEqual({ n: 2 })
    expect((await browser.get('/read')).body).toEqual({ n: 2, maxAge: 5 * HOUR })
  })

  test('regenerate() in flight does not undo "sign out everywhere", and does not stand in the way of a sign-in', async () => {
    const sessions = await connect()
    const browser = await serve(
      sessions,
      {},
      {
        '/sign-in': (session) => {
          session['user_id'] = 'ada'
        },
        '/rotate': async (session) => {
          await sessions.clearSessionsForUser('ada')
          await session.regenerate()
        },
        '/change-user': async (session) => {
          await sessions.clearSessionsForUser('ada')
          session['user_id'] = 'grace'
          await session.regenerate()
        },
        '/read': (session) => ({ user: session['user_id'] ?? null })
      }
    )
    await browser.get('/sign-in')
    await browser.get('/rotate')
    expect(await sessions.countSessions()).toBe(0)
    expect((await browser.get('/read')).body).toEqual({ user: null })
    await browser.get('/sign-in')
    await browser.get('/change-user')
    expect((await browser.get('/read')).body).toEqual({ user: 'grace' })
  })

  test('does not bring a session back that outlives its tombstone', async () => {
    const sessions = await connect({ tombstoneMs: 1_000 })
    const store = new KoaSessionStore(sessions)
    const ctx = {}
    await store.set('token', { n: 1 }, 'session', { ctx: {} })
    await store.get('token', 0, { ctx })
    await sessions.destroy('token')
    await new Promise((resolve) => setTimeout(resolve, 1_100)) // the tombstone's least life, on the database's clock
    expect(await sessions.pruneExpired()).toBe(0)
    await store.set('token', { n: 2 }, 'session', { ctx, changed: true })
    expect(await store.get('token')).toBeUndefined()
  })

  test('keeps the order of keys, so that koa-session sees no change where there is none', async () => {
    const sessions = await connect()
    const browser = await serve(
      sessions,
      {},
      { '/': (session) => Reflect.set(session, 'data', { z: 1, a: { y: 2, b: 3 } }) }
    )
    await browser.get('/')
    const second = await browser.get('/')
    expect(second.cookies).toEqual([])
    expect(JSON.stringify((await only(sessions)).data)).toBe('{"data":{"z":1,"a":{"y":2,"b":3}}}')
  })

  test('survives data with __proto__ as a key', async () => {
    const sessions = await connect()
    const store = new KoaSessionStore(sessions)
    await store.set('token', JSON.parse('{"__proto__":{"save":1},"n":1}'), 'session')
    expect(await store.get('token')).toEqual({ n: 1, _session: true })
  })

  test('fails the request where the store fails, on the way in and on the way out', async () => {
    const sessions = await connect()
    const browser = await serve(
      sessions,
      {},
      {
        '/write': (session) => {
          session['n'] = 1
        }
      }
    )
    await browser.get('/write')
    await sessions.close()
    expect((await browser.get('/read')).status).toBe(500)
    expect((await new Browser(browser.origin, {}).get('/write')).status).toBe(500)
  })
})

describe('koaSession', () => {
  test("passes on the handler's own error where the commit fails too, and reports the other", async () => {
    const sessions = await connect()
    const app = new Koa()
    app.keys = [SECRET]
    const reported: string[] = []
    app.on('error', (error: Error) => reported.push(error.message))
    app.use(koaSession(app, sessions, { secure: false }))
    app.use(async (ctx) => {
      Reflect.set(ctx['session'], 'n', 1)
      await sessions.close()
      ctx.throw(418, 'the own error')
    })
    const browser = await start(app)
    expect((await browser.get('/')).status).toBe(418)
    expect(reported).toEqual([expect.stringMatching(/closed/), 'the own error'])
  })

  test('refuses missing and short keys, and says how to make one', async () => {
    const sessions = await connect()
    const app = new Koa()
    expect(() => koaSession(app, sessions)).toThrow(/app\.keys is missing.*openssl rand -base64 32/)
    app.keys = ['short']
    expect(() => koaSession(app, sessions)).toThrow(/less than 32 characters/)
    expect(() => koaSession(app, sessions, { signed: false })).not.toThrow()
    app.keys = [SECRET]
    expect(() => koaSession(app, sessions)).not.toThrow()
  })

  test("refuses another framework's options", async () => {
    const sessions = await connect()
    const app = new Koa()
    const options: object = { secret: SECRET }
    expect(() => koaSession(app, sessions, options)).toThrow(
      /Unknown option secret\. Known options: name, secure/
    )
  })

  test('behind a proxy that is not trusted it stores nothing, fails, and says once how to cure it', async () => {
    const sessions = await connect()
    const app = new Koa()
    app.keys = [SECRET]
    const errors: Error[] = []
    app.on('error', (error: Error) => errors.push(error))
    app.use(koaSession(app, sessions))
    app.use(routesOf({ '/': (session) => Reflect.set(session, 'n', 1) }))
    const warnings: Error[] = []
    const warn = (warning: Error) => warnings.push(warning)
    process.on('warning', warn)
    const browser = await start(app)
    expect((await browser.get('/')).status).toBe(500)
    expect((await browser.get('/')).status).toBe(500)
    await new Promise(setImmediate)
    process.off('warning', warn)
    expect(await sessions.countSessions()).toBe(0)
    expect(errors[0]?.message).toMatch(/set app\.proxy = true/)
    expect(warnings).toHaveLength(1)
    expect(warnings[0]?.message).toMatch(/Koa sent no session cookie.*set app\.proxy = true/)
  })
})
