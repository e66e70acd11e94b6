import fastifyCookie from '@fastify/cookie'
import session from '@fastify/session'
import type { DefaultSessionService } from 'bodhi-session'
import { FastifySessionStore, fastifySession } from 'bodhi-session/fastify'
import Fastify from 'fastify'
import { expectTypeOf, test } from 'vitest'

interface MyData {
  user_id: string
}

declare module 'fastify' {
  interface Session {
    type_test?: number
  }
}

declare const sessions: DefaultSessionService<MyData>

test('the plugin takes a service of any data, and the merged Session reaches the request', async () => {
  const app = Fastify()
  await app.register(fastifySession, { sessions, secret: 'x'.repeat(32) })
  await app.register(fastifySession, {
    sessions: Promise.resolve(sessions),
    secret: ['x'],
    prefix: '__Host-'
  })
  app.get('/', async (request) => {
    expectTypeOf(request.session.type_test).toEqualTypeOf<number | undefined>()
    await request.session.regenerate()
  })
})

test('a bare store fits @fastify/session', async () => {
  const app = Fastify()
  await app.register(fastifyCookie)
  await app.register(session, { secret: 'x'.repeat(32), store: new FastifySessionStore(sessions) })
})

test('what is missing or of another framework is an error', () => {
  const app = Fastify()
  // @ts-expect-error no secret
  app.register(fastifySession, { sessions })
  // @ts-expect-error no sessions
  app.register(fastifySession, { secret: 'x' })
  // @ts-expect-error koa signs with keys
  app.register(fastifySession, { sessions, secret: 'x', keys: ['x'] })
})
