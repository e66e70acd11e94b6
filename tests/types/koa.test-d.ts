import type { DefaultSessionService } from 'bodhi-session'
import {
  type KoaSessionContext,
  type KoaSessionMethods,
  KoaSessionStore,
  koaSession
} from 'bodhi-session/koa'
import Koa from 'koa'
import createSession from 'koa-session'
import { expectTypeOf, test } from 'vitest'

interface MyData {
  user_id: string
}

declare const sessions: DefaultSessionService<MyData>

test('ctx.session knows the data and what koa-session adds, through the app or through the chain', () => {
  const app = new Koa<Koa.DefaultState, KoaSessionContext<MyData>>()
  app.use(koaSession(app, sessions))
  app.use((ctx) => {
    expectTypeOf(ctx.session).toEqualTypeOf<(Partial<MyData> & KoaSessionMethods) | null>()
    expectTypeOf(ctx.session?.user_id).toEqualTypeOf<string | undefined>()
    ctx.session = null
  })
  const plain = new Koa()
  plain.use(koaSession(plain, Promise.resolve(sessions))).use((ctx) => {
    expectTypeOf(ctx.session?.regenerate).toEqualTypeOf<(() => Promise<void>) | undefined>()
  })
})

test('a bare store fits koa-session', () => {
  const app = new Koa()
  app.use(createSession({ store: new KoaSessionStore(sessions) }, app))
})

test("another framework's options are errors", () => {
  // @ts-expect-error koa signs with app.keys
  koaSession(new Koa(), sessions, { secret: 'x' })
})
