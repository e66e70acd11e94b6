import fastifyCookie from '@fastify/cookie'
import fastifySessionPlugin, { type SessionStore } from '@fastify/session'
import Fastify from 'fastify'
import { builtEntry, required, respond, SECRET, type Serve } from './application.ts'

export const serveFastify: Serve = async (setup) => {
  const app = Fastify()
  if (setup.kind === 'ours') {
    const entry = await builtEntry<typeof import('../../src/frameworks/fastify.ts')>(setup.dist, 'fastify')
    await app.register(entry.fastifySession, {
      sessions: required(setup.sessions),
      secret: SECRET,
      secure: false
    })
  } else if (setup.kind === 'usual') {
    await app.register(fastifyCookie)
    await app.register(fastifySessionPlugin, {
      // Its documentation recommends the stores of express-session.
      store: required(setup.store) as unknown as SessionStore,
      secret: SECRET,
      saveUninitialized: false,
      cookie: { secure: false, maxAge: 86_400_000 }
    })
  }
  app.get('*', async (request, reply) => {
    // Which keys there are is for an application to declare; this one takes any.
    const data = (request.session ?? {}) as unknown as Record<string, unknown>
    return reply.type('application/json').send(respond(request.url, data))
  })
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  return Number(new URL(origin).port)
}
