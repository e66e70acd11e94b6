import { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { stream } from 'hono/streaming'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { honoSession, type SessionEnv } from '../../src/frameworks/hono.ts'
import { ConfigurationError, DefaultSessionService } from '../../src/index.ts'

let sessions: DefaultSessionService
let app: Hono<SessionEnv>

beforeEach(async () => {
  sessions = await DefaultSessionService.connect('sqlite::memory:', { touchAfterMs: 0 })
  app = new Hono<SessionEnv>()
  app.use(honoSession(sessions))
  app.get('/write', (c) => {
    c.get('session').data['n'] = 1
    return c.text('written')
  })
  app.get('/read', (c) => c.json(c.get('session').data))
})

afterEach(() => sessions.close())

async function cookieAfter(path: string, cookie?: string): Promise<string> {
  const response = await app.request(path, cookie === undefined ? {} : { headers: { cookie } })
  const values = response.headers.getSetCookie()
  expect(values).toHaveLength(1)
  expect(response.headers.get('cache-control')).toBe('no-store')
  return values[0]?.split(';')[0] ?? ''
}

async function read(cookie: string): Promise<unknown> {
  return (await app.request('/read', { headers: { cookie } })).json()
}

test('a request without the cookie asks the store nothing', async () => {
  await sessions.close()
  expect(await (await app.request('/read')).json()).toEqual({})
})

test('a thrown 4xx or redirect is an answer, and what it changed is stored', async () => {
  app.get('/denied', (c) => {
    c.get('session').data['failures'] = 1
    throw new HTTPException(401)
  })
  const cookie = await cookieAfter('/denied')
  expect(await read(cookie)).toEqual({ failures: 1 })
})

test('a handler that fails with a 500 stores nothing, but a rotation that has happened reaches the browser', async () => {
  app.get('/fail', async (c) => {
    await c.get('session').rotate()
    c.get('session').data['n'] = 2
    throw new Error('on purpose')
  })
  app.onError((_error, c) => c.text('failed', 500))
  const cookie = await cookieAfter('/write')
  const next = await cookieAfter('/fail', cookie)
  expect(next).not.toBe(cookie)
  expect(await read(next)).toEqual({ n: 1 })
})

test('a commit that fails replaces the answer of the handler, its headers included', async () => {
  app.get('/late', async (c) => {
    c.get('session').data['n'] = 2
    await sessions.close()
    return c.text('a long answer', 200, { 'Content-Length': '13', 'X-Secret': 'for signed-in eyes' })
  })
  const cookie = await cookieAfter('/write')
  const response = await app.request('/late', { headers: { cookie } })
  expect(response.status).toBe(500)
  expect(response.headers.get('x-secret')).toBeNull()
  expect(response.headers.get('content-length')).toBeNull()
  expect(await response.text()).toBe('Internal Server Error')
})

test('onError gets the typed error of the store', async () => {
  const cookie = await cookieAfter('/write')
  await sessions.close()
  const seen: unknown[] = []
  app.onError((error, c) => {
    seen.push(error)
    return c.text('ours', 503)
  })
  expect((await app.request('/read', { headers: { cookie } })).status).toBe(503)
  expect(seen).toEqual([expect.objectContaining({ code: 'SESSION_CLOSED', status: 500 })])
})

test('the cookie leaves before a streaming body, and what the body changes later is not stored', async () => {
  const headersAreThere = Promise.withResolvers<void>()
  app.get('/stream', (c) => {
    const { data } = c.get('session')
    data['n'] = 1
    return stream(c, async (body) => {
      await headersAreThere.promise
      data['n'] = 2
      await body.write('streamed')
    })
  })
  const response = await app.request('/stream')
  headersAreThere.resolve()
  const cookie = response.headers.getSetCookie()[0]?.split(';')[0] ?? ''
  expect(await response.text()).toBe('streamed')
  expect(await read(cookie)).toEqual({ n: 1 })
})

test('used twice, it loads and commits one session', async () => {
  const twice = new Hono<SessionEnv>()
  const middleware = honoSession(sessions)
  twice.use(middleware)
  twice.use('/inner/*', middleware)
  twice.get('/inner/write', (c) => {
    c.get('session').data['n'] = 1
    return c.text('written')
  })
  const response = await twice.request('/inner/write')
  expect(response.headers.getSetCookie()).toHaveLength(1)
  expect(await sessions.countSessions()).toBe(1)
})

test('adds its cookie to redirects, and beside cookies of the application', async () => {
  app.get('/redirect', (c) => {
    c.get('session').data['n'] = 1
    c.header('Set-Cookie', 'theme=dark')
    return c.redirect('/read', 303)
  })
  const response = await app.request('/redirect')
  expect(response.status).toBe(303)
  expect(response.headers.getSetCookie().map((value) => value.split('=')[0])).toEqual([
    'theme',
    'bodhiapp_session_id'
  ])
})

test("refuses another framework's options", () => {
  const options: object = { secret: 'x'.repeat(32) }
  expect(() => honoSession(sessions, options)).toThrow(ConfigurationError)
  expect(() => honoSession(sessions, options)).toThrow(/Unknown option secret\. Known options: name, secure/)
})
