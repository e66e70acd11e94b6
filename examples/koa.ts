import { randomBytes } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { DefaultSessionService } from 'bodhi-session'
import { type KoaSessionContext, koaSession } from 'bodhi-session/koa'
import Koa from 'koa'
import { page } from './page.ts'

interface MyData {
  user_id: string
  views: number
}

const sessions = await DefaultSessionService.fromEnv<MyData>()
const app = new Koa<Koa.DefaultState, KoaSessionContext<MyData>>()
// In production: the same key on every node and after every restart.
app.keys = [process.env['SESSION_SECRET'] ?? randomBytes(32).toString('base64')]

app.use(koaSession(app, sessions, { secure: process.env['NODE_ENV'] === 'production' }))

app.use(async (ctx) => {
  const { session } = ctx
  if (session === null) return
  switch (`${ctx.method} ${ctx.path}`) {
    case 'GET /':
      if (session.user_id) session.views = (session.views ?? 0) + 1
      ctx.body = page(session.user_id, session.views ?? 0)
      return
    case 'POST /sign-in':
      session.user_id = new URLSearchParams(await text(ctx.req)).get('name') ?? 'nobody'
      // A new token at every sign-in: one that was planted before is worth nothing then.
      await session.regenerate()
      break
    case 'POST /sign-out':
      ctx.session = null
      break
    case 'POST /sign-out-everywhere':
      if (session.user_id) await sessions.clearSessionsForUser(session.user_id)
      break
    default:
      return
  }
  ctx.status = 303
  ctx.redirect('/')
})

const server = app.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1', () => {
  console.log(server.address())
})
process.once('SIGTERM', () => server.close(() => sessions.close()))
