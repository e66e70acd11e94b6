import { serve } from '@hono/node-server'
import { DefaultSessionService } from 'bodhi-session'
import { honoSession, type SessionEnv } from 'bodhi-session/hono'
import { Hono } from 'hono'
import { page } from './page.ts'

interface MyData {
  user_id: string
  views: number
}

const sessions = await DefaultSessionService.fromEnv<MyData>()
const app = new Hono<SessionEnv<MyData>>()

app.use(honoSession(sessions, { secure: process.env['NODE_ENV'] === 'production' }))

app.get('/', (c) => {
  const { data } = c.get('session')
  if (data.user_id) data.views = (data.views ?? 0) + 1
  return c.html(page(data.user_id, data.views ?? 0))
})

app.post('/sign-in', async (c) => {
  const session = c.get('session')
  // A new token at every sign-in: one that was planted before is worth nothing then.
  await session.rotate()
  session.data.user_id = String((await c.req.parseBody())['name'])
  return c.redirect('/', 303)
})

app.post('/sign-out', async (c) => {
  await c.get('session').destroy()
  return c.redirect('/', 303)
})

app.post('/sign-out-everywhere', async (c) => {
  const { userId } = c.get('session')
  if (userId !== null) await sessions.clearSessionsForUser(userId)
  return c.redirect('/', 303)
})

const port = Number(process.env['PORT'] ?? 3000)
const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port }, (address) => console.log(address))
process.once('SIGTERM', () => server.close(() => sessions.close()))
