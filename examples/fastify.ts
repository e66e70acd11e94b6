import { randomBytes } from 'node:crypto'
import { DefaultSessionService } from 'bodhi-session'
import { fastifySession } from 'bodhi-session/fastify'
import Fastify from 'fastify'
import { page } from './page.ts'

declare module 'fastify' {
  interface Session {
    user_id?: string
    views?: number
  }
}

const sessions = await DefaultSessionService.fromEnv()
const app = Fastify()

await app.register(fastifySession, {
  sessions,
  // In production: the same secret on every node and after every restart.
  secret: process.env['SESSION_SECRET'] ?? randomBytes(32).toString('base64'),
  secure: process.env['NODE_ENV'] === 'production'
})

app.addContentTypeParser(
  'application/x-www-form-urlencoded',
  { parseAs: 'string' },
  (_request, body, done) => {
    done(null, Object.fromEntries(new URLSearchParams(body.toString())))
  }
)

app.get('/', async ({ session }, reply) => {
  if (session.user_id) session.views = (session.views ?? 0) + 1
  return reply.type('text/html').send(page(session.user_id, session.views ?? 0))
})

app.post<{ Body: { name: string } }>('/sign-in', async (request, reply) => {
  // A new token at every sign-in: one that was planted before is worth nothing then.
  await request.session.regenerate()
  request.session.user_id = request.body.name
  return reply.redirect('/', 303)
})

app.post('/sign-out', async (request, reply) => {
  await request.session.destroy()
  return reply.redirect('/', 303)
})

app.post('/sign-out-everywhere', async ({ session }, reply) => {
  if (session.user_id) await sessions.clearSessionsForUser(session.user_id)
  return reply.redirect('/', 303)
})

app.addHook('onClose', () => sessions.close())
await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })
console.log(app.addresses()[0])
process.once('SIGTERM', () => app.close())
