import type { DefaultSessionService } from 'bodhi-session'
import { honoSession, type RequestSession, type SessionEnv } from 'bodhi-session/hono'
import { Hono } from 'hono'
import { expectTypeOf, test } from 'vitest'

interface MyData {
  user_id: string
}

declare const sessions: DefaultSessionService<MyData>

test('c.get knows the data, through the app or through the chain', () => {
  const app = new Hono<SessionEnv<MyData>>()
  app.use(honoSession(sessions))
  app.get('/', (c) => {
    expectTypeOf(c.get('session')).toEqualTypeOf<RequestSession<MyData>>()
    expectTypeOf(c.var.session.data.user_id).toEqualTypeOf<string | undefined>()
    return c.text('')
  })
  new Hono().use(honoSession(sessions)).get('/', (c) => {
    expectTypeOf(c.get('session').data).toEqualTypeOf<Partial<MyData>>()
    return c.text('')
  })
})

test('an environment of the application stays beside it', () => {
  type Env = { Variables: SessionEnv<MyData>['Variables'] & { locale: string }; Bindings: { KEY: string } }
  const app = new Hono<Env>()
  app.use(honoSession(sessions))
  app.get('/', (c) => {
    expectTypeOf(c.get('locale')).toBeString()
    expectTypeOf(c.get('session')).toEqualTypeOf<RequestSession<MyData>>()
    return c.text(c.env.KEY)
  })
})

test("another framework's options are errors", () => {
  // @ts-expect-error nothing is signed here
  honoSession(sessions, { signed: true })
})
