import assert from 'node:assert/strict'
import type { DefaultSessionService } from '../../default-session-service.ts'
import type { SessionServiceLike } from '../../frameworks/service-source.ts'
import type { SessionCookieOptions } from '../../http/session-cookie.ts'
import type { Answer, Browser, SetCookie } from './browser.ts'
import type { ContractStore } from './subject.ts'

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
export interface Stage {
  readonly store: AdapterStore
  readonly sessions: DefaultSessionService
  /** Starts the subject's server; closed with the test. */
  serve(handler: AdapterHandler, cookie?: SessionCookieOptions): Promise<Browser>
}

export type AdapterTests = ReadonlyArray<readonly [name: string, body: (stage: Stage) => Promise<void>]>

/** Routes that most tests use. */
export async function site(session: AdapterSession, path: string): Promise<unknown> {
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
      throw new Error('The handler failed on purpose')
    case '/plain':
      return 'no session asked for'
    default:
      return { user: session.data['user_id'] ?? null, written: session.data['written'] ?? null }
  }
}

export const VISITOR = { user: null, written: null }
export const ADA = { user: 'ada', written: null }

/** Holds requests inside their handler until it is opened. */
export class Gate {
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

export async function ok(request: Promise<Answer>): Promise<Answer> {
  const answer = await request
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  return answer
}

export function userIn({ body }: Answer): unknown {
  return typeof body === 'object' && body !== null ? Reflect.get(body, 'user') : undefined
}

export function sessionCookie({ cookies }: Answer, name: string): SetCookie {
  const own = cookies.filter((cookie) => cookie.name === name)
  assert.equal(
    own.length,
    1,
    `expected one Set-Cookie of ${name}, got ${cookies.map((cookie) => cookie.name)}`
  )
  return own[0] as SetCookie // of the length asserted above
}

/** The attributes by which a browser finds the cookie to replace, and decides whether it may. */
export function lasting({ attributes }: SetCookie): Record<string, string | undefined> {
  const kept = ['path', 'domain', 'secure', 'httponly', 'samesite', 'partitioned']
  return Object.fromEntries(kept.map((key) => [key, attributes.get(key)?.toLowerCase()]))
}

export function checkAttributes(cookie: SetCookie, expected: Record<string, string>): void {
  const found = Object.entries(lasting(cookie)).filter(([, value]) => value !== undefined)
  assert.deepEqual(Object.fromEntries(found), expected)
}
