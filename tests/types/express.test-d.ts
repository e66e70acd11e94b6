import type { DefaultSessionService } from 'bodhi-session'
import { ExpressSessionStore, expressSession } from 'bodhi-session/express'
import express from 'express'
import session from 'express-session'
import { expectTypeOf, test } from 'vitest'

interface MyData {
  user_id: string
}

declare module 'express-session' {
  interface SessionData {
    typeTest: number
  }
}

declare const sessions: DefaultSessionService<MyData>

test("express-session's merged SessionData reaches the request", () => {
  const app = express()
  app.use(expressSession(sessions, { secret: 'x'.repeat(32) }))
  app.use(
    expressSession(Promise.resolve(sessions), { secret: ['x'.repeat(32)], cookie: { sameSite: 'lax' } })
  )
  app.get('/', (req) => {
    expectTypeOf(req.session.typeTest).toEqualTypeOf<number | undefined>()
  })
})

test('a bare store fits express-session', () => {
  session({ secret: 'x', store: new ExpressSessionStore(sessions) })
})

test('what is missing or of another framework is an error', () => {
  // @ts-expect-error no secret
  expressSession(sessions, {})
  // @ts-expect-error koa signs with keys
  expressSession(sessions, { secret: 'x', keys: ['x'] })
})
