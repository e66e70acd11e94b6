import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createWebSessions, type RequestSession, type WebSessions } from '../../src/frameworks/web.ts'
import { DataError, DefaultSessionService } from '../../src/index.ts'

interface MyData {
  user_id: string
  n: number
  cart: { items: string[] }
  theme: string
}

let sessions: DefaultSessionService<MyData>
let web: WebSessions<MyData>

beforeEach(async () => {
  sessions = await DefaultSessionService.connect<MyData>('sqlite::memory:', { touchAfterMs: 0 })
  web = createWebSessions(sessions)
})

afterEach(() => sessions.close())

function requestOf(cookie?: string): Request {
  return new Request('https://example.org/', cookie === undefined ? {} : { headers: { cookie } })
}

/** The Cookie header that a browser would send after these Set-Cookie values. */
function sentAfter(cookies: readonly string[]): string {
  expect(cookies).toHaveLength(1)
  return cookies[0]?.split(';')[0] ?? ''
}

/** A stored session, as the next request brings it. */
async function stored(data: Partial<MyData>): Promise<string> {
  const session = await web.load(requestOf())
  Object.assign(session.data, data)
  return sentAfter(await web.commit(session))
}

async function dataBehind(cookie: string): Promise<Partial<MyData> | undefined> {
  const session = await web.load(requestOf(cookie))
  return session.isNew ? undefined : session.data
}

describe('the session of a request', () => {
  test('is loaded once for a request, and again after its commit', async () => {
    const cookie = await stored({ n: 1 })
    const request = requestOf(cookie)
    const session = await web.load(request)
    expect(await web.load(request)).toBe(session)
    await sessions.clearAllSessions()
    await web.commit(session)
    expect((await web.load(request)).isNew).toBe(true)
  })

  test('tells id, user and whether it is new', async () => {
    const visitor = await web.load(requestOf())
    expect(visitor).toMatchObject({ id: null, userId: null, isNew: true, data: {} })
    visitor.data.user_id = 'ada'
    expect(visitor.userId).toBeNull()
    const cookie = sentAfter(await web.commit(visitor))
    expect(visitor.userId).toBe('ada')
    expect(await sessions.getSessionIdsForUser('ada')).toEqual([visitor.id])
    expect(await web.load(requestOf(cookie))).toMatchObject({ id: visitor.id, userId: 'ada', isNew: false })
  })

  test('is not stored while nothing is in it, or nothing but undefined', async () => {
    const session = await web.load(requestOf())
    session.data.n = 1
    Reflect.deleteProperty(session.data, 'n')
    Object.assign(session.data, { theme: undefined })
    expect(await web.commit(session)).toEqual([])
    expect(await sessions.countSessions()).toBe(0)
  })

  test('applies only what changed: other keys that changed meanwhile stay, deleted keys go', async () => {
    const cookie = await stored({ n: 1, theme: 'dark', cart: { items: ['a'] } })
    const one = await web.load(requestOf(cookie))
    const two = await web.load(requestOf(cookie))
    one.data.cart?.items.push('b')
    Reflect.deleteProperty(one.data, 'theme')
    two.data.n = 2
    expect(two.data.theme).toBe('dark')
    await web.commit(one)
    await web.commit(two)
    expect(await dataBehind(cookie)).toEqual({ n: 2, cart: { items: ['a', 'b'] } })
  })

  test('counts a nested change, and a value that became another JSON cannot tell apart', async () => {
    const cookie = await stored({ cart: { items: ['a'] } })
    const session = await web.load(requestOf(cookie))
    Object.assign(session.data.cart ?? {}, { items: [Number.NaN] })
    await expect(web.commit(session)).rejects.toBeInstanceOf(DataError)
    expect(await dataBehind(cookie)).toEqual({ cart: { items: ['a'] } })
  })

  test('keeps __proto__ as a key like any other', async () => {
    const cookie = await stored({ n: 1 })
    const session = await web.load(requestOf(cookie))
    Object.defineProperty(session.data, '__proto__', {
      value: { x: 1 },
      enumerable: true,
      configurable: true
    })
    await web.commit(session)
    expect(JSON.stringify(await dataBehind(cookie))).toBe('{"n":1,"__proto__":{"x":1}}')
    expect(Reflect.get({}, 'x')).toBeUndefined()
  })

  test('can be committed again, with what changed since', async () => {
    const cookie = await stored({ n: 1 })
    const session = await web.load(requestOf(cookie))
    session.data.n = 2
    expect(await web.commit(session)).toEqual([])
    session.data.theme = 'light'
    const token = cookie.slice(cookie.indexOf('=') + 1)
    await sessions.update(token, (data) => {
      data.n = 3
    })
    await web.commit(session)
    expect(await dataBehind(cookie)).toEqual({ n: 3, theme: 'light' })
  })

  test('extends the idle timeout where nothing changed', async () => {
    const cookie = await stored({ n: 1, user_id: 'ada' })
    const [before] = await sessions.listSessionsForUser('ada')
    await new Promise((resolve) => setTimeout(resolve, 2)) // for the clock to tell the two apart
    await web.commit(await web.load(requestOf(cookie)))
    const [after] = await sessions.listSessionsForUser('ada')
    expect(after?.lastActiveAt.getTime()).toBeGreaterThan(before?.lastActiveAt.getTime() ?? Number.NaN)
  })

  test('that was ended meanwhile stays ended, and the cookie is left alone', async () => {
    for (const change of [
      () => {},
      (session: RequestSession<MyData>) => Object.assign(session.data, { n: 2 })
    ]) {
      const session = await web.load(requestOf(await stored({ n: 1, user_id: 'ada' })))
      change(session)
      await sessions.clearSessionsForUser('ada')
      expect(await web.commit(session)).toEqual([])
      expect(session).toMatchObject({ id: null, userId: null, isNew: true, data: {} })
      expect(await web.commit(session)).toEqual([])
      expect(await sessions.countSessions()).toBe(0)
    }
  })
})

describe('rotate', () => {
  test('gives a new token at once and keeps the data, stored and changed', async () => {
    const cookie = await stored({ n: 1 })
    const session = await web.load(requestOf(cookie))
    const { id } = session
    session.data.theme = 'dark'
    expect(await session.rotate()).toBe(true)
    expect(session.id).not.toBe(id)
    expect(await dataBehind(cookie)).toBeUndefined()
    session.data.user_id = 'ada'
    const next = sentAfter(await web.commit(session))
    expect(next).not.toBe(cookie)
    expect(await dataBehind(next)).toEqual({ n: 1, theme: 'dark', user_id: 'ada' })
    expect(await sessions.countSessions()).toBe(1)
  })

  test('of a session that is not stored needs nothing', async () => {
    const session = await web.load(requestOf())
    expect(await session.rotate()).toBe(true)
    expect(await web.commit(session)).toEqual([])
  })

  test('of a session that was ended meanwhile drops its data, and what is written next starts a new one', async () => {
    const cookie = await stored({ n: 1, user_id: 'ada' })
    const session = await web.load(requestOf(cookie))
    session.data.theme = 'dark'
    await sessions.clearSessionsForUser('ada')
    expect(await session.rotate()).toBe(false)
    expect(session.data).toEqual({})
    session.data.user_id = 'grace'
    const next = sentAfter(await web.commit(session))
    expect(await dataBehind(next)).toEqual({ user_id: 'grace' })
    expect(await sessions.countSessionsForUser('ada')).toBe(0)
  })

  test('that nobody waited for is done before the commit', async () => {
    const cookie = await stored({ n: 1 })
    const session = await web.load(requestOf(cookie))
    void session.rotate()
    session.data.user_id = 'ada'
    const next = sentAfter(await web.commit(session))
    expect(await dataBehind(next)).toEqual({ n: 1, user_id: 'ada' })
    expect(await dataBehind(cookie)).toBeUndefined()
  })
})

describe('destroy', () => {
  test('ends the session at once, empties the data and clears the cookie', async () => {
    const cookie = await stored({ n: 1 })
    const session = await web.load(requestOf(cookie))
    const { data } = session
    expect(await session.destroy()).toBe(true)
    expect(await dataBehind(cookie)).toBeUndefined()
    expect(data).toEqual({})
    expect(await web.commit(session)).toEqual([
      expect.stringMatching(/^bodhiapp_session_id=; Max-Age=0; Expires=Thu, 01 Jan 1970/)
    ])
    expect(await session.destroy()).toBe(false)
  })

  test('followed by a write starts a new session', async () => {
    const cookie = await stored({ n: 1, user_id: 'ada' })
    const session = await web.load(requestOf(cookie))
    await session.destroy()
    session.data.theme = 'signed out'
    const next = sentAfter(await web.commit(session))
    expect(await dataBehind(next)).toEqual({ theme: 'signed out' })
    expect(await dataBehind(cookie)).toBeUndefined()
  })

  test('clears a cookie that is a stranger, and none that is not there', async () => {
    const stranger = await web.load(requestOf('bodhiapp_session_id=a; bodhiapp_session_id=b'))
    expect(await stranger.destroy()).toBe(false)
    expect(await web.commit(stranger)).toHaveLength(1)
    const visitor = await web.load(requestOf())
    await visitor.destroy()
    expect(await web.commit(visitor)).toEqual([])
  })
})

test('a sign-in without rotation sends the cookie again, since the absolute timeout starts anew', async () => {
  const cookie = await stored({ n: 1 })
  await new Promise((resolve) => setTimeout(resolve, 2)) // for the clock to tell the two apart
  const session = await web.load(requestOf(cookie))
  session.data.user_id = 'ada'
  expect(sentAfter(await web.commit(session))).toBe(cookie)
})

describe('handle', () => {
  async function asked(
    handler: (session: RequestSession<MyData>) => Response,
    cookie?: string
  ): Promise<Response> {
    return web.handle((_request, session) => handler(session))(requestOf(cookie))
  }

  test('adds the cookie to responses whose headers cannot be changed', async () => {
    const response = await asked((session) => {
      session.data.n = 1
      return Response.redirect('https://example.org/next', 303)
    })
    expect(response.status).toBe(303)
    expect(response.headers.get('location')).toBe('https://example.org/next')
    expect(response.headers.getSetCookie()).toHaveLength(1)
    expect(response.headers.get('cache-control')).toBe('no-store')
  })

  test('stores what a handler changed that throws a Response, and nothing of one that throws an error', async () => {
    const cookie = await stored({ n: 1 })
    const response = await asked((session) => {
      session.data.n = 2
      throw new Response('no', { status: 403 })
    }, cookie)
    expect(response.status).toBe(403)
    const failing = asked((session) => {
      session.data.n = 3
      throw new Error('on purpose')
    }, cookie)
    await expect(failing).rejects.toThrow('on purpose')
    expect(await dataBehind(cookie)).toEqual({ n: 2 })
  })

  test('passes on what the server gives besides the request', async () => {
    const fetch = web.handle(
      (_request: Request, _session, environment: { name: string }) => new Response(environment.name)
    )
    expect(await (await fetch(requestOf(), { name: 'production' })).text()).toBe('production')
  })

  test('answers 500 or 503 where the store fails, and reports the error', async () => {
    const cookie = await stored({ n: 1 })
    await sessions.close()
    const reported: unknown[] = []
    const fetch = web.handle(
      () => new Response('fine'),
      (error) => reported.push(error)
    )
    const response = await fetch(requestOf(cookie))
    expect(response.status).toBe(500)
    expect(await response.text()).toBe('Internal Server Error')
    expect(reported).toEqual([expect.objectContaining({ code: 'SESSION_CLOSED' })])
    expect(await (await fetch(requestOf())).text()).toBe('fine')
  })
})
