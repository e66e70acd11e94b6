import type { IncomingMessage } from 'node:http'
import type { DefaultSessionService, SessionId } from 'bodhi-session'
import { createWebSessions, type RequestSession } from 'bodhi-session/web'
import { expectTypeOf, test } from 'vitest'

interface MyData {
  user_id: string
  cart: { items: string[] }
}

declare const sessions: DefaultSessionService<MyData>
declare const promised: Promise<DefaultSessionService<MyData>>
declare const untyped: DefaultSessionService

test("the application's data reaches the session of a request, where every key may be missing", () => {
  const web = createWebSessions(sessions)
  expectTypeOf(web.load).returns.resolves.toEqualTypeOf<RequestSession<MyData>>()
  expectTypeOf<RequestSession<MyData>['data']>().toEqualTypeOf<Partial<MyData>>()
  expectTypeOf<RequestSession<MyData>['id']>().toEqualTypeOf<SessionId | null>()
  expectTypeOf<RequestSession<MyData>['userId']>().toEqualTypeOf<string | null>()
  expectTypeOf(createWebSessions(promised)).toEqualTypeOf(web)
  expectTypeOf<RequestSession['data']>().toEqualTypeOf<Partial<Record<string, unknown>>>()
  createWebSessions(untyped)
})

test("a session loads from a Fetch request and from Node's", () => {
  const { load, handle } = createWebSessions(sessions)
  expectTypeOf(load).toBeCallableWith(new Request('https://example.org'))
  expectTypeOf(load).toBeCallableWith({} as IncomingMessage)
  expectTypeOf(handle(() => new Response())).toEqualTypeOf<(request: Request) => Promise<Response>>()
  const withContext = handle((request: Request, session, context: { ip: string }) => {
    expectTypeOf(request).toEqualTypeOf<Request>()
    expectTypeOf(session.data.cart).toEqualTypeOf<{ items: string[] } | undefined>()
    return new Response(context.ip)
  })
  expectTypeOf(withContext).parameters.toEqualTypeOf<[Request, { ip: string }]>()
})

test('options are those of the cookie', () => {
  createWebSessions(sessions, { name: 'sid', prefix: '__Host-', sameSite: 'lax', secure: true })
  // @ts-expect-error nothing is signed here
  createWebSessions(sessions, { secret: 'x' })
  // @ts-expect-error not a value of SameSite
  createWebSessions(sessions, { sameSite: 'maybe' })
})

test('data is what JSON holds of the type, not anything', () => {
  const web = createWebSessions(sessions)
  web.load(new Request('https://example.org')).then(({ data }) => {
    // @ts-expect-error not a string
    data.user_id = 1
    // @ts-expect-error no such key
    data.other = 'x'
  })
})
