import { EventEmitter } from 'node:events'
import session, { type SessionData } from 'express-session'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { ExpressSessionStore } from '../../src/frameworks/express.ts'
import { BackendUnavailableError, ConfigurationError, DataError, type SessionInfo } from '../../src/index.ts'
import type { ContractStore } from '../../src/testing/session-contract.ts'
import { createPostgresStores, createSqliteStore } from '../support/contract-stores.ts'
import { runScript } from '../support/run-script.ts'

/* The store by itself, called as express-session and applications call it. */

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

let stores: Awaited<ReturnType<typeof createPostgresStores>>
beforeAll(async () => {
  stores = await createPostgresStores()
})
afterAll(() => stores.drop())

const BACKENDS = { SQLite: createSqliteStore, PostgreSQL: () => stores.createStore() }

type Call<R> = (callback: (error: unknown, result?: R) => void) => unknown

function done<R>(call: Call<R>): Promise<R | undefined> {
  return new Promise((resolve, reject) => {
    call((error, result) => (error ? reject(error) : resolve(result)))
  })
}

/** Data of a bare user, who has a plain object in place of express-session's Cookie. */
function data(fields: object, cookie: object = {}): SessionData {
  return { cookie: { path: '/', httpOnly: true, originalMaxAge: null, ...cookie }, ...fields } as SessionData
}

const inMs = (ms: number) => new Date(Date.now() + ms)

for (const [backend, createStore] of Object.entries(BACKENDS)) {
  describe(`ExpressSessionStore on ${backend}`, () => {
    let base: ContractStore
    afterEach(() => base.close())

    async function open() {
      base = await createStore()
      const sessions = await base.connect()
      const store = new ExpressSessionStore(sessions)
      return {
        sessions,
        store,
        get: (sid: string) => done<SessionData>((callback) => store.get(sid, callback)),
        set: (sid: string, value: SessionData) => done((callback) => store.set(sid, value, callback)),
        touch: (sid: string, value: SessionData) => done((callback) => store.touch(sid, value, callback)),
        destroy: (sid: string) => done((callback) => store.destroy(sid, callback)),
        only: async () => {
          const all: SessionInfo[] = []
          for await (const one of sessions.dumpAllSessions()) all.push(one)
          expect(all).toHaveLength(1)
          return all[0] as SessionInfo // of the length asserted above
        }
      }
    }

    /** express-session's own way to a session object: generate, or load. */
    function generate(store: ExpressSessionStore, sessionID: string) {
      const { Session, Cookie } = session as unknown as {
        Session: new (req: object, data: object) => session.Session & Record<string, unknown>
        Cookie: new (options: object) => session.Cookie
      }
      return new Session({ sessionID, sessionStore: store }, { cookie: new Cookie({}) })
    }

    async function load(store: ExpressSessionStore, sid: string) {
      const loaded = await done<SessionData>((callback) => store.load(sid, callback))
      return loaded as session.Session & SessionData & Record<string, unknown>
    }

    test('gives back what was set, in the order of its keys, with a cookie', async () => {
      const { get, set } = await open()
      const value = data({ z: 1, a: { y: [true, null], b: 'ä\u0000' }, '': '' })
      await set('sid', value)
      const loaded = await get('sid')
      expect(JSON.stringify(loaded)).toBe(JSON.stringify({ ...value, cookie: loaded?.cookie }))
      expect(loaded?.cookie).toEqual({ path: '/', httpOnly: true, originalMaxAge: null, expires: null })
    })

    test('an unknown, empty, huge or ill-formed id is a missing session, and leaves no row', async () => {
      const { get, touch, destroy } = await open()
      for (const sid of ['unknown', '', 'x'.repeat(2_000), 'a\u0000b']) {
        expect(await get(sid)).toBeUndefined()
        await touch(sid, data({}))
        await destroy(sid)
      }
      expect(await base.countRows()).toBe(0)
    })

    test('a cookie with expires gives the session that idle timeout, and comes back on the local clock', async () => {
      const { get, set, only } = await open()
      for (const expires of [inMs(HOUR), inMs(HOUR).toISOString()]) {
        await set('sid', data({}, { expires }))
        const row = await only()
        expect(row.expiresAt.getTime() - row.lastActiveAt.getTime()).toBeGreaterThan(HOUR - MINUTE)
        expect(row.expiresAt.getTime() - row.lastActiveAt.getTime()).toBeLessThanOrEqual(HOUR)
      }
      await base.age(30 * MINUTE)
      const cookie = (await get('sid'))?.cookie
      expect(cookie?.expires).toBeInstanceOf(Date)
      const remaining = Number(cookie?.expires) - Date.now()
      expect(remaining).toBeGreaterThan(29 * MINUTE)
      expect(remaining).toBeLessThanOrEqual(30 * MINUTE)
      await base.age(31 * MINUTE)
      expect(await get('sid')).toBeUndefined()
    })

    test('a cookie without expires has the idle timeout of the service', async () => {
      const { get, set, only } = await open()
      for (const expires of [null, undefined, false]) {
        await set('sid', data({}, { expires }))
        const row = await only()
        expect(row.expiresAt.getTime() - row.lastActiveAt.getTime()).toBe(DAY)
      }
      expect((await get('sid'))?.cookie.expires).toBe(false)
    })

    test('a maxAge beyond the absolute timeout is cut at it', async () => {
      const { set, only } = await open()
      await set('sid', data({}, { expires: inMs(10 * 365 * DAY) }))
      const row = await only()
      expect(row.expiresAt.getTime() - row.createdAt.getTime()).toBe(30 * DAY)
    })

    test('a touch extends the session, and takes over a new maxAge, but never writes data', async () => {
      const { store, get, set, touch } = await open()
      await set('sid', data({ n: 1 }))
      const loaded = await load(store, 'sid')
      loaded['n'] = 2
      loaded.cookie.maxAge = 3 * HOUR
      await touch('sid', loaded)
      const after = await get('sid')
      expect(after).toMatchObject({ n: 1, cookie: { originalMaxAge: 3 * HOUR } })
      expect(Number(after?.cookie.expires) - Date.now()).toBeGreaterThan(2 * HOUR)
    })

    test('touches of a session with a maxAge of its own are throttled too', async () => {
      const { store, set, touch, only } = await open()
      await set('sid', data({}, { originalMaxAge: HOUR, expires: inMs(HOUR) }))
      await base.age(30 * MINUTE)
      const touchAgain = async () => {
        const loaded = await load(store, 'sid')
        loaded.touch()
        await touch('sid', loaded)
        return (await only()).lastActiveAt.getTime()
      }
      const first = await touchAgain()
      await base.age(1_000)
      expect(await touchAgain()).toBe(first - 1_000)
    })

    test('a cookie that has run out ends the session, by set and by touch', async () => {
      const { store, get, set, touch, sessions } = await open()
      for (const [sid, end] of Object.entries({ a: set, b: touch })) {
        await set(sid, data({ user_id: 'ada' }))
        const loaded = await load(store, sid)
        loaded.cookie.maxAge = 0
        await end(sid, loaded)
        expect(await get(sid)).toBeUndefined()
      }
      expect(await sessions.countSessions()).toBe(0)
      await set('c', data({}, { expires: inMs(-1) }))
      expect(await get('c')).toBeUndefined()
    })

    test('a late save of a loaded session with a maxAge does not end what other requests keep alive', async () => {
      const { store, get, set, touch } = await open()
      await set('sid', data({}, { originalMaxAge: HOUR, expires: inMs(HOUR) }))
      const slow = await load(store, 'sid')
      slow.cookie.expires = inMs(-1) // as it is after a stream of more than an hour
      slow.cookie.originalMaxAge = HOUR
      slow['late'] = true
      await touch('sid', await load(store, 'sid'))
      await set('sid', slow)
      expect(await get('sid')).toMatchObject({ late: true, cookie: { originalMaxAge: HOUR } })
    })

    describe('a session that has ended', () => {
      test('is not brought back by a save or touch of a session that was loaded before', async () => {
        const { store, get, set, touch, destroy } = await open()
        await set('sid', data({ user_id: 'ada' }))
        const slow = await load(store, 'sid')
        await destroy('sid')
        await set('sid', slow)
        await touch('sid', slow)
        await set('sid', data({ user_id: 'ada' }))
        expect(await get('sid')).toBeUndefined()
      })

      test('stays ended when its tombstone is gone, for a request that is older than that', async () => {
        const { store, sessions, get, set, destroy } = await open()
        await set('sid', data({ user_id: 'ada' }))
        const slow = await load(store, 'sid')
        await destroy('sid')
        await base.age(2 * DAY)
        await sessions.pruneExpired()
        expect(await base.countRows()).toBe(0)
        await done((callback) => slow.save(callback))
        expect(await get('sid')).toBeUndefined()
        expect(await base.countRows()).toBe(0)
      })

      test('stays ended for the request that made it and saves it again', async () => {
        const { store, sessions, get } = await open()
        const made = generate(store, 'sid')
        made['user_id'] = 'ada'
        await done((callback) => made.save(callback))
        expect(await get('sid')).toMatchObject({ user_id: 'ada' })
        expect(await sessions.clearSessionsForUser('ada')).toBe(1)
        await base.age(2 * DAY)
        await sessions.pruneExpired()
        await done((callback) => made.save(callback))
        expect(await base.countRows()).toBe(0)
      })

      test('stays ended for what reload() has loaded', async () => {
        const { store, sessions, get } = await open()
        const request: { session?: session.Session } & object = {}
        const made = generate(store, 'sid')
        Object.assign((made as unknown as { req: object }).req, request)
        await done((callback) => made.save(callback))
        await done((callback) => made.reload(callback))
        const { session: reloaded } = (made as unknown as { req: { session: session.Session } }).req
        await sessions.clearAllSessions()
        await base.age(2 * DAY)
        await sessions.pruneExpired()
        await done((callback) => reloaded.save(callback))
        expect(await get('sid')).toBeUndefined()
      })
    })

    test('a plain object can be stored under several ids, and again after it has expired', async () => {
      const { get, set, sessions } = await open()
      const value = data({ n: 1 })
      await set('a', value)
      await set('b', value)
      expect(await get('b')).toMatchObject({ n: 1 })
      await base.age(2 * DAY)
      await sessions.pruneExpired()
      await set('b', value)
      expect(await get('b')).toMatchObject({ n: 1 })
    })

    test('a session loaded under one id and stored under another is a new one there', async () => {
      const { store, get, set } = await open()
      await set('a', data({ n: 1 }))
      await set('b', await load(store, 'a'))
      expect(await get('b')).toMatchObject({ n: 1 })
    })

    test("Passport's user is indexed, and a sign-out by Passport clears the index", async () => {
      const { sessions, set } = await open()
      await set('sid', data({ passport: { user: { id: 7, name: 'Ada' } } }))
      expect(await sessions.countSessionsForUser(7)).toBe(1)
      await set('sid', data({ passport: {} }))
      expect(await sessions.countSessionsForUser(7)).toBe(0)
      expect(await sessions.countSessions()).toBe(1)
    })

    test('all, length and clear see every live session, and no ended or expired one', async () => {
      const { store, sessions, get, set, destroy } = await open()
      await set('old', data({ n: 0 }, { expires: inMs(MINUTE) }))
      await base.age(2 * MINUTE)
      await set('a', data({ n: 1 }, { originalMaxAge: HOUR, expires: inMs(HOUR) }))
      await set('b', data({ n: 2 }))
      await set('c', data({ n: 3 }))
      await destroy('c')
      const { id } = await sessions.create({ n: 4 })
      const all = (await done<SessionData[]>((callback) => store.all(callback))) ?? []
      expect(all.map((one) => Reflect.get(one, 'n')).sort()).toEqual([1, 2, 4])
      for (const one of all) expect(one.cookie).toMatchObject({ path: '/', httpOnly: true })
      expect(await done((callback) => store.length(callback))).toBe(3)
      await base.corrupt(id)
      expect(await done((callback) => store.all(callback))).toHaveLength(2)
      await done((callback) => store.clear(callback))
      expect(await done((callback) => store.length(callback))).toBe(0)
      expect(await get('a')).toBeUndefined()
    })

    test('a session of sessions.create has a cookie, with the attributes that the store was given', async () => {
      const { sessions, get } = await open()
      const { token } = await sessions.create({ n: 1 })
      expect((await get(token))?.cookie).toEqual({
        path: '/',
        httpOnly: true,
        originalMaxAge: null,
        expires: null
      })
      const store = new ExpressSessionStore(sessions, { cookie: { secure: true, sameSite: 'lax' } })
      const loaded = await load(store, token)
      expect(loaded.cookie).toMatchObject({ secure: true, sameSite: 'lax', path: '/' })
    })

    test('data that cannot be stored is an error, and what was stored before stays', async () => {
      const { get, set } = await open()
      await set('sid', data({ n: 1 }))
      for (const bad of [{ n: 1n }, { n: Number.NaN }, { n: 'x'.repeat(2 ** 20) }]) {
        await expect(set('sid', data(bad))).rejects.toBeInstanceOf(DataError)
      }
      for (const none of [null, undefined, 'text']) {
        await expect(set('sid', none as unknown as SessionData)).rejects.toBeInstanceOf(DataError)
      }
      expect(await get('sid')).toMatchObject({ n: 1 })
    })

    test('a row that cannot be read is an error, and no missing session', async () => {
      const { get, set, only } = await open()
      await set('sid', data({ n: 1 }))
      await base.corrupt((await only()).id)
      await expect(get('sid')).rejects.toMatchObject({ code: 'SESSION_DATA', status: 500 })
    })

    test('operations on one session take effect in the order of their calls', async () => {
      const { store, get } = await open()
      const results: unknown[] = []
      const record = (error: unknown) => results.push(error)
      store.set('sid', data({ n: 1 }), record)
      store.set('sid', data({ n: 2 }), record)
      expect(await get('sid')).toMatchObject({ n: 2 })
      store.destroy('sid', record)
      store.set('sid', data({ n: 3 }), record)
      expect(await get('sid')).toBeUndefined()
      expect(results).toEqual([null, null, null, null])
    })

    test('it works through a proxy, and with methods that are replaced on the instance', async () => {
      const { store } = await open()
      const proxy = new Proxy(store, {})
      await done((callback) => proxy.set('sid', data({ n: 1 }), callback))
      const { get } = store
      const seen: string[] = []
      store.get = function (sid, callback) {
        seen.push(sid)
        get.call(this, sid, callback)
      }
      expect(await load(store, 'sid')).toMatchObject({ n: 1 })
      expect(seen).toEqual(['sid'])
    })
  })
}

describe('ExpressSessionStore before its service is there', () => {
  test('operations wait for the promise, with the data of their call', async () => {
    const base = await createSqliteStore()
    const { promise, resolve } = Promise.withResolvers<Awaited<ReturnType<ContractStore['connect']>>>()
    const store = new ExpressSessionStore(promise)
    const value = data({ n: 1 })
    const stored = done((callback) => store.set('sid', value, callback))
    const loaded = done<SessionData>((callback) => store.get('sid', callback))
    const refused = done((callback) => store.set('bad', data({ n: 1n }), callback))
    refused.catch(() => {})
    Object.assign(value, { n: 2 })
    resolve(await base.connect())
    await stored
    expect(await loaded).toMatchObject({ n: 1 })
    await expect(refused).rejects.toBeInstanceOf(DataError)
    await base.close()
  })

  test('a promise that rejects is a 503 for every operation, whatever its own code', async () => {
    const failure = Object.assign(new Error('no such file'), { code: 'ENOENT' })
    const store = new ExpressSessionStore(Promise.reject(failure))
    const calls: Call<unknown>[] = [
      (callback) => store.get('sid', callback),
      (callback) => store.set('sid', data({}), callback),
      (callback) => store.touch('sid', data({}), callback),
      (callback) => store.destroy('sid', callback),
      (callback) => store.all(callback),
      (callback) => store.length(callback),
      (callback) => store.clear(callback)
    ]
    for (const call of calls) {
      const error: unknown = await done(call).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(BackendUnavailableError)
      expect(error).toMatchObject({ code: 'SESSION_BACKEND_UNAVAILABLE', status: 503, cause: failure })
    }
  })

  test('something that is no service is refused at once, as is a missing callback', () => {
    expect(() => new ExpressSessionStore({} as never)).toThrow(ConfigurationError)
    const store = new ExpressSessionStore(Promise.reject(new Error('unused')))
    expect(() => store.get('sid', undefined as never)).toThrow(/get needs a callback; got undefined/)
  })
})

describe('what becomes of errors', () => {
  const closed = `
    import { ExpressSessionStore } from './src/frameworks/express.ts'
    import { DefaultSessionService } from './src/index.ts'
    const sessions = await DefaultSessionService.connect('sqlite::memory:')
    const store = new ExpressSessionStore(sessions)
    const print = (...values) => console.log(...values)`

  test('a callback that throws is an uncaught exception, is not called again, and ends no session', async () => {
    const { stdout, code } = await runScript(`${closed}
      process.on('uncaughtException', (error, origin) => print(origin, error.message))
      const data = { cookie: {}, n: 1 }
      store.set('sid', data, (error) => { print('set', error); throw new Error('from set') })
      await new Promise((resolve) => setTimeout(resolve, 50))
      store.get('sid', (error, found) => { print('get', error, found.n); throw new Error('from get') })
      await new Promise((resolve) => setTimeout(resolve, 50))
      store.destroy('other', () => { print('destroy'); throw new Error('from destroy') })
      await new Promise((resolve) => setTimeout(resolve, 50))
      print(await sessions.countSessions())
      await sessions.close()`)
    expect(stdout.trim().split('\n')).toEqual([
      'set null',
      'uncaughtException from set',
      'get null 1',
      'uncaughtException from get',
      'destroy',
      'uncaughtException from destroy',
      '1'
    ])
    expect(code).toBe(0)
  })

  test('a failure without a callback goes to the error listeners', async () => {
    const { stdout, code } = await runScript(`${closed}
      await sessions.close()
      store.on('error', (error) => print('heard', error.code))
      store.destroy('sid')
      store.set('sid', { cookie: {} })
      store.touch('sid', { cookie: {} })
      store.clear()`)
    expect(stdout.trim().split('\n')).toEqual(Array.from({ length: 4 }, () => 'heard SESSION_CLOSED'))
    expect(code).toBe(0)
  })

  test('a failure without a callback and without a listener is a warning, and not the end of the process', async () => {
    const { stdout, code } = await runScript(`${closed}
      await sessions.close()
      process.on('warning', ({ code, message }) => { if (code) print(code, message.includes('The session service is closed')) })
      store.destroy('sid')`)
    expect(stdout.trim()).toBe('BODHI_SESSION_UNHEARD_ERROR true')
    expect(code).toBe(0)
  })

  test('it is an event emitter that never says "disconnect", and keeps the context of its caller', async () => {
    const { stdout, code } = await runScript(`${closed}
      import { AsyncLocalStorage } from 'node:async_hooks'
      const context = new AsyncLocalStorage()
      store.on('disconnect', () => print('disconnect'))
      await sessions.close()
      context.run('request 1', () => store.get('sid', (error) => print(error.code, context.getStore())))`)
    expect(stdout.trim()).toBe('SESSION_CLOSED request 1')
    expect(code).toBe(0)
    expect(ExpressSessionStore.prototype).toBeInstanceOf(EventEmitter)
    expect(ExpressSessionStore.prototype).toBeInstanceOf(session.Store)
  })
})
