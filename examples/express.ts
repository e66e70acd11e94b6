import { randomBytes } from 'node:crypto'
import { DefaultSessionService } from 'bodhi-session'
import { expressSession } from 'bodhi-session/express'
import express from 'express'
import { page } from './page.ts'

declare module 'express-session' {
  interface SessionData {
    user_id: string
    views: number
  }
}

const sessions = await DefaultSessionService.fromEnv()
const app = express()

app.use(
  expressSession(sessions, {
    // In production: the same secret on every node and after every restart.
    secret: process.env['SESSION_SECRET'] ?? randomBytes(32).toString('base64'),
    secure: process.env['NODE_ENV'] === 'production'
  })
)

app.get('/', (req, res) => {
  if (req.session.user_id) req.session.views = (req.session.views ?? 0) + 1
  res.send(page(req.session.user_id, req.session.views ?? 0))
})

app.post('/sign-in', express.urlencoded(), (req, res, next) => {
  // A new token at every sign-in: one that was planted before is worth nothing then.
  req.session.regenerate((error) => {
    if (error) return next(error)
    req.session.user_id = String(req.body.name)
    // Before the redirect: express-session would save only while the browser is already on its way.
    req.session.save((failure) => (failure ? next(failure) : res.redirect(303, '/')))
  })
})

app.post('/sign-out', (req, res, next) => {
  req.session.destroy((error) => (error ? next(error) : res.redirect(303, '/')))
})

app.post('/sign-out-everywhere', async (req, res) => {
  if (req.session.user_id) await sessions.clearSessionsForUser(req.session.user_id)
  res.redirect(303, '/')
})

const server = app.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1', () => {
  console.log(server.address())
})
process.once('SIGTERM', () => server.close(() => sessions.close()))
