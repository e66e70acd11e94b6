import assert from 'node:assert/strict'
import type { DefaultSessionService } from '../default-session-service.ts'
import type { SessionServiceLike } from '../frameworks/service-source.ts'
import { DEFAULT_COOKIE_NAME, type SessionCookieOptions } from '../http/session-cookie.ts'
import { type Answer, Browser, type SetCookie } from './contract/browser.ts'
import { type ContractRunner, type ContractStore, DAY, HOUR } from './contract/subject.ts'

/** The session of a request, whatever its framework calls things. */
export interface AdapterSession {
  /** The session's data in the hands of the handler, looked up anew at every use. */
  readonly data: Record<string, unknown>
  /** Gives the session a new token, as the framework does it at a sign-in. Its data may be lost. */
  rotate(): Promise<void>
  /** Ends the session, as the framework does it at a sign-out. */
  end(): Promise<void>
}

/** Answers one request with a JSON value. `path` has no query. */
export type AdapterHandler = (session: AdapterSession, path: string) => Promise<unknown>

/** A server to be started on 127.0.0.1, trusting `X-Forwarded-Proto` as behind a proxy that ends TLS. */
export interface AdapterSetup {
  readonly sessions: SessionServiceLike
  readonly cookie: SessionCookieOptions
  /** To be called for every request, with the framework's own session; where it throws, so must the route. */
  readonly handler: AdapterHandler
}

export interface AdapterServer {
  /** Such as `http://127.0.0.1:1234`. */
  readonly origin: string
  close(): Promise<void>
}

/** An empty store for one test, and hands that reach into it. */
export interface AdapterStore extends Pick<ContractStore, 'connect' | 'age' | 'countRows' | 'close'> {
  /** Makes the store fail every operation, until the returned function is called. */
  breakDown(): Promise<() => Promise<void>>
}

export interface AdapterSubject {
  /** For the tests' names: the framework and the store. */
  readonly name: string
  /** Whether parallel requests that change different top-level keys both keep their change. */
  readonly mergesChanges: boolean
  /** Whether a save that fails can still make the response fail. express-session sends the headers before it saves. */
  readonly savesBeforeHeaders: boolean
  createStore(): Promise<AdapterStore>
  serve(setup: AdapterSetup): Promise<AdapterServer>
}

/** What a test has at hand. */
interface Stage {
  readonly store: AdapterStore
  readonly sessions: DefaultSessionService
  /** Starts the subject's server; closed with the test. */
  serve(handler: AdapterHandler, cookie?: SessionCookieOptions): Promise<Browser>
}

const HANDLER_ERROR = 'The handler failed on purpose'

/** Routes that most tests use. */
async function site(session: AdapterSession, path: string): Promise<unknown> {
  switch (path) {
    case '/sign-in':
      await session.rotate()
      session.data['user_id'] = 'ada'
      return 'signed in'
    case '/sign-out':
      await session.end()
      return 'signed out'
    case '/write':
      session.data['written'] = { b: 1, a: [2, 'zwei'] }
      return 'written'
    case '/fail':
      throw new Error(HANDLER_ERROR)
    case '/plain':
      return 'no session asked for'
    default:
      return { user: session.data['user_id'] ?? null, written: session.data['written'] ?? null }
  }
}

const VISITOR = { user: null, written: null }
const ADA = { user: 'ada', written: null }

/**
 * What every adapter between a framework and the service must do over HTTP, as tests for any runner: give it vitest's,
 * jest's or node:test's `describe` and `test`, and a subject that serves the framework.
 */
export function adapterContract(runner: ContractRunner, subject: AdapterSubject): void {
  runner.describe(`adapter contract: ${subject.name}`, () => {
    for (const [name, body] of [
      ...COOKIES,
      ...LIFE,
      ...PARALLEL,
      ...TROUBLE,
      ...(subject.mergesChanges ? MERGING : []),
      ...(subject.savesBeforeHeaders ? SAVING : [])
    ]) {
      runner.test(name, () => onStage(subject, body))
    }
  })
}

async function onStage(subject: AdapterSubject, body: (stage: Stage) => Promise<void>): Promise<void> {
  const store = await subject.createStore()
  const servers: AdapterServer[] = []
  try {
    const sessions = await store.connect()
    await body({
      store,
      sessions,
      async serve(handler, cookie = {}) {
        const server = await subject.serve({ sessions, cookie, handler })
        servers.push(server)
        return new Browser(server.origin)
      }
    })
  } finally {
    for (const server of servers) await server.close()
    await store.close()
  }
}

type Tests = ReadonlyArray<readonly [name: string, body: (stage: Stage) => Promise<void>]>

const COOKIES: Tests = [
  [
    'a visitor gets no cookie and costs no row',
    async ({ store, serve }) => {
      const browser = await serve(site)
      for (const path of ['/', '/plain']) {
        const answer = await ok(browser.get(path))
        assert.deepEqual(answer.cookies, [])
      }
      assert.equal(await store.countRows(), 0)
    }
  ],
  [
    'the cookie goes out with the first write, for this host and HTTPS only, out of the reach of scripts and other sites',
    async ({ serve }) => {
      const browser = await serve(site)
      const answer = await ok(browser.get('/write'))
      const cookie = sessionCookie(answer, DEFAULT_COOKIE_NAME)
      assert.ok(cookie.value.length >= 43)
      checkAttributes(cookie, { path: '/', httponly: '', secure: '', samesite: 'strict' })
      assert.equal(answer.headers['cache-control'], 'no-store')
      assert.deepEqual((await ok(browser.get('/'))).body, { user: null, written: { b: 1, a: [2, 'zwei'] } })
    }
  ],
  [
    'the cookie lives until the absolute timeout',
    async ({ serve }) => {
      const { livesMs = 0 } = sessionCookie(await ok((await serve(site)).get('/write')), DEFAULT_COOKIE_NAME)
      assert.ok(livesMs > 29 * DAY && livesMs <= 30 * DAY + HOUR, `${livesMs} ms`)
    }
  ],
  [
    'a request that changes nothing gets no cookie again, and may be cached',
    async ({ serve }) => {
      const browser = await serve(site)
      await ok(browser.get('/sign-in'))
      for (const path of ['/', '/plain', '/']) {
        const answer = await ok(browser.get(path))
        assert.deepEqual(answer.cookies, [])
        assert.notEqual(answer.headers['cache-control'], 'no-store')
      }
    }
  ],
  [
    'a prefix, a name and attributes of the application are used as they are given',
    async ({ serve }) => {
      const browser = await serve(site, { name: 'Sid', prefix: '__Host-', sameSite: 'lax' })
      const made = sessionCookie(await ok(browser.get('/sign-in')), '__Host-Sid')
      checkAttributes(made, { path: '/', httponly: '', secure: '', samesite: 'lax' })
      assert.deepEqual((await ok(browser.get('/'))).body, ADA)
      const cleared = sessionCookie(await ok(browser.get('/sign-out')), '__Host-Sid')
      checkAttributes(cleared, { path: '/', httponly: '', secure: '', samesite: 'lax' })
    }
  ],
  [
    'with secure: false the cookie goes over plain HTTP',
    async ({ serve }) => {
      const { origin } = await serve(site, { secure: false })
      const browser = new Browser(origin, {})
      const cookie = sessionCookie(await ok(browser.get('/sign-in')), DEFAULT_COOKIE_NAME)
      assert.equal(cookie.attributes.has('secure'), false)
      assert.deepEqual((await ok(browser.get('/'))).body, ADA)
    }
  ]
]

const LIFE: Tests = [
  [
    'a sign-in changes the token, kills the old one and indexes the user',
    async ({ sessions, serve }) => {
      const browser = await serve(site)
      await ok(browser.get('/write'))
      const before = browser.cookieHeader
      const answer = await ok(browser.get('/sign-in'))
      assert.equal(answer.headers['cache-control'], 'no-store')
      assert.notEqual(browser.cookieHeader, before)
      assert.equal(await sessions.countSessionsForUser('ada'), 1)
      assert.equal(await sessions.countSessions(), 1)
      assert.equal(userIn(await ok(browser.get('/'))), 'ada')
      assert.deepEqual((await ok(browser.send('/', before))).body, VISITOR)
    }
  ],
  [
    'a sign-out ends the session and clears the cookie with its own attributes',
    async ({ sessions, serve }) => {
      const browser = await serve(site)
      const made = sessionCookie(await ok(browser.get('/sign-in')), DEFAULT_COOKIE_NAME)
      const before = browser.cookieHeader
      const answer = await ok(browser.get('/sign-out'))
      const cleared = sessionCookie(answer, DEFAULT_COOKIE_NAME)
      assert.equal(cleared.value, '')
      assert.ok(cleared.livesMs !== undefined && cleared.livesMs <= 0)
      assert.deepEqual(lasting(cleared), lasting(made))
      assert.equal(answer.headers['cache-control'], 'no-store')
      assert.equal(browser.cookieHeader, '')
      assert.equal(await sessions.countSessions(), 0)
      assert.deepEqual((await ok(browser.send('/', before))).body, VISITOR)
    }
  ],
  [
    '"sign out everywhere" reaches a session that is in use',
    async ({ store, serve }) => {
      const browser = await serve(site)
      await ok(browser.get('/sign-in'))
      assert.deepEqual((await ok(browser.get('/'))).body, ADA)
      const otherNode = await store.connect()
      assert.equal(await otherNode.clearSessionsForUser('ada'), 1)
      assert.deepEqual((await ok(browser.get('/'))).body, VISITOR)
      assert.equal(await otherNode.countSessions(), 0)
    }
  ],
  [
    'every use extends the idle timeout, and without one the session is over',
    async ({ store, serve }) => {
      const browser = await serve(site)
      await ok(browser.get('/sign-in'))
      for (let day = 0; day < 3; day++) {
        await store.age(23 * HOUR)
        assert.deepEqual((await ok(browser.get('/'))).body, ADA)
      }
      await store.age(DAY)
      assert.deepEqual((await ok(browser.get('/'))).body, VISITOR)
    }
  ],
  [
    'no use extends the absolute timeout',
    async ({ store, serve }) => {
      const browser = await serve(site)
      await ok(browser.get('/sign-in'))
      for (let hours = 0; hours + 20 < 30 * 24; hours += 20) {
        await store.age(20 * HOUR)
        assert.equal(userIn(await ok(browser.get('/'))), 'ada', `after ${hours + 20} hours`)
        await ok(browser.get('/write'))
      }
      await store.age(20 * HOUR)
      assert.deepEqual((await ok(browser.get('/'))).body, VISITOR)
    }
  ]
]

const PARALLEL: Tests = [
  [
    'a request that outlives the sign-out of its session brings nothing back',
    async ({ sessions, serve }) => {
      const gate = new Gate()
      const browser = await serve(async (session, path) => {
        if (path !== '/slow') return site(session, path)
        session.data['seen'] = session.data['user_id']
        await gate.pass()
        session.data['late'] = true
        return 'late'
      })
      await ok(browser.get('/sign-in'))
      const cookie = browser.cookieHeader
      const slow = browser.send('/slow', cookie)
      await gate.reached
      await ok(browser.get('/sign-out'))
      gate.open()
      const answer = await slow
      assert.ok(answer.status < 500, `status ${answer.status}`)
      assert.equal(await sessions.countSessions(), 0)
      assert.deepEqual((await ok(browser.send('/', cookie))).body, VISITOR)
    }
  ],
  [
    'a request that is in flight while its session is rotated does not take the new cookie away',
    async ({ serve }) => {
      const gate = new Gate()
      const browser = await serve(async (session, path) => {
        if (path !== '/slow') return site(session, path)
        assert.notEqual(session.data, undefined)
        await gate.pass()
        return 'late'
      })
      await ok(browser.get('/write'))
      const old = browser.cookieHeader
      const slow = browser.send('/slow', old)
      await gate.reached
      await ok(browser.get('/sign-in'))
      gate.open()
      assert.deepEqual((await slow).cookies, [])
      // One that starts with the old cookie, because the new one is still on its way to the browser.
      assert.deepEqual((await ok(browser.send('/', old))).cookies, [])
      assert.equal(userIn(await ok(browser.get('/'))), 'ada')
    }
  ],
  [
    'a request that changes nothing undoes nothing',
    async ({ sessions, serve }) => {
      const gate = new Gate()
      const browser = await serve(async (session, path) => {
        if (path !== '/slow') return site(session, path)
        const user = session.data['user_id']
        await gate.pass()
        return user
      })
      await ok(browser.get('/sign-in'))
      const slow = browser.get('/slow')
      await gate.reached
      await ok(browser.clone().get('/write'))
      gate.open()
      await ok(slow)
      const [session] = await sessions.listSessionsForUser('ada')
      assert.deepEqual(session?.data?.['written'], { b: 1, a: [2, 'zwei'] })
    }
  ]
]

/** For adapters that commit key by key. */
const MERGING: Tests = [
  [
    'parallel requests that change different keys keep all changes',
    async ({ sessions, serve }) => {
      const gate = new Gate(10)
      const browser = await serve(async (session, path) => {
        if (!path.startsWith('/key/')) return site(session, path)
        session.data[path.slice('/key/'.length)] = path
        await gate.pass()
        return path
      })
      await ok(browser.get('/sign-in'))
      const requests = Array.from({ length: 10 }, (_, index) => browser.get(`/key/${index}`))
      await gate.reached
      gate.open()
      for (const request of requests) await ok(request)
      const [session] = await sessions.listSessionsForUser('ada')
      for (let index = 0; index < 10; index++) assert.equal(session?.data?.[index], `/key/${index}`)
    }
  ]
]

/** For adapters that save before the headers are sent. */
const SAVING: Tests = [
  [
    'a first write that the store refuses is a 5xx, without a cookie for a session that is not there',
    async ({ store, serve }) => {
      const browser = await serve(site)
      const repair = await store.breakDown()
      const answer = await browser.get('/write').finally(repair)
      assert.ok(answer.status >= 500, `status ${answer.status}`)
      assert.deepEqual(answer.cookies, [])
      assert.equal(await store.countRows(), 0)
    }
  ]
]

const TROUBLE: Tests = [
  [
    'a store that fails is a 5xx, and nobody is signed out by it',
    async ({ store, serve }) => {
      const browser = await serve(site)
      await ok(browser.get('/sign-in'))
      const repair = await store.breakDown()
      try {
        for (const path of ['/', '/write']) {
          const answer = await browser.get(path)
          assert.ok(answer.status >= 500, `${path}: status ${answer.status}`)
          assert.deepEqual(answer.cookies, [])
        }
      } finally {
        await repair()
      }
      assert.deepEqual((await ok(browser.get('/'))).body, ADA)
    }
  ],
  [
    'a handler that fails is a 500, and the next request has its session',
    async ({ serve }) => {
      const browser = await serve(site)
      await ok(browser.get('/sign-in'))
      assert.equal((await browser.get('/fail')).status, 500)
      assert.deepEqual((await ok(browser.get('/'))).body, ADA)
    }
  ],
  [
    'forged, malformed, huge and duplicate cookies are strangers, and leave no row',
    async ({ store, serve }) => {
      const browser = await serve(site)
      await ok(browser.get('/sign-in'))
      const [name = '', value = ''] = browser.cookieHeader.split(/=(.*)/s)
      const forged = value.replace(/[A-Za-z]/, (letter) => (letter === 'A' ? 'B' : 'A'))
      const headers = [
        `${name}=${forged}`,
        `${name}=${'A'.repeat(43)}`,
        `${name}=${value.slice(0, -1)}`,
        `${name}=${value}x`,
        `${name}="${forged}"`,
        `${name}=`,
        `${name}`,
        `${name}=%E0%A4%A`,
        `${name}=%00${value}`,
        `${name}=${'A'.repeat(8_000)}`,
        `${name}=; ${name}=`,
        `${name.toUpperCase()}=${value}`,
        `\u00a0${name}=${value}`,
        `${name}=${value}; ${name}=${value}`,
        `${name}=${value}; ${name}=${forged}`,
        `${name}=${forged}; other=1; ${name}=${value}`
      ]
      const rows = await store.countRows()
      for (const header of headers) {
        const shown = header.slice(0, 80).replaceAll(value, '<token>')
        const answer = await browser.send('/', header)
        assert.equal(answer.status, 200, shown)
        assert.deepEqual(answer.body, VISITOR, shown)
      }
      assert.equal(await store.countRows(), rows)
      assert.deepEqual((await ok(browser.get('/'))).body, ADA)
    }
  ],
  [
    'a token from outside is never adopted: whoever writes gets one of ours',
    async ({ serve }) => {
      const browser = await serve(site)
      const planted = 'P'.repeat(43)
      const answer = await ok(browser.send('/write', `${DEFAULT_COOKIE_NAME}=${planted}`))
      assert.ok(!sessionCookie(answer, DEFAULT_COOKIE_NAME).value.includes(planted))
      assert.deepEqual((await ok(browser.send('/', `${DEFAULT_COOKIE_NAME}=${planted}`))).body, VISITOR)
    }
  ]
]

/** Holds requests inside their handler until it is opened. */
class Gate {
  readonly #opened = Promise.withResolvers<void>()
  readonly #reached = Promise.withResolvers<void>()
  #missing: number

  /** @param count How many requests must have come before `reached` resolves. */
  constructor(count = 1) {
    this.#missing = count
  }

  get reached(): Promise<void> {
    return this.#reached.promise
  }

  pass(): Promise<void> {
    if (--this.#missing === 0) this.#reached.resolve()
    return this.#opened.promise
  }

  open(): void {
    this.#opened.resolve()
  }
}

async function ok(request: Promise<Answer>): Promise<Answer> {
  const answer = await request
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  return answer
}

function userIn({ body }: Answer): unknown {
  return typeof body === 'object' && body !== null ? Reflect.get(body, 'user') : undefined
}

function sessionCookie({ cookies }: Answer, name: string): SetCookie {
  const own = cookies.filter((cookie) => cookie.name === name)
  assert.equal(
    own.length,
    1,
    `expected one Set-Cookie of ${name}, got ${cookies.map((cookie) => cookie.name)}`
  )
  return own[0] as SetCookie // of the length asserted above
}

/** The attributes by which a browser finds the cookie to replace, and decides whether it may. */
function lasting({ attributes }: SetCookie): Record<string, string | undefined> {
  const kept = ['path', 'domain', 'secure', 'httponly', 'samesite', 'partitioned']
  return Object.fromEntries(kept.map((key) => [key, attributes.get(key)?.toLowerCase()]))
}

function checkAttributes(cookie: SetCookie, expected: Record<string, string>): void {
  const found = Object.entries(lasting(cookie)).filter(([, value]) => value !== undefined)
  assert.deepEqual(Object.fromEntries(found), expected)
}
