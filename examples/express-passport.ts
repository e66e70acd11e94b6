import { randomBytes } from 'node:crypto'
import { DefaultSessionService } from 'bodhi-session'
import { expressSession } from 'bodhi-session/express'
import express from 'express'
import passport from 'passport'
import { Strategy } from 'passport-oauth2'
import { page } from './page.ts'

/* Signs in at another site: start identity-provider.ts first. */

const provider = process.env['PROVIDER'] ?? 'http://localhost:4000'
const sessions = await DefaultSessionService.fromEnv()
const app = express()

app.use(
  expressSession(sessions, {
    // In production: the same secret on every node and after every restart.
    secret: process.env['SESSION_SECRET'] ?? randomBytes(32).toString('base64'),
    secure: process.env['NODE_ENV'] === 'production',
    // The browser comes back from the provider's site: 'strict' would keep the cookie, and with it `state`, from us.
    sameSite: 'lax'
  })
)

const strategy = new Strategy(
  {
    authorizationURL: `${provider}/authorize`,
    tokenURL: `${provider}/token`,
    clientID: 'example',
    clientSecret: 'example',
    callbackURL: '/callback',
    state: true // kept in the session, so that nobody is signed in by a link from elsewhere
  },
  (_access: string, _refresh: string, { user }: { user: string }, _profile: unknown, done: SignedIn) =>
    done(null, { id: user })
)
type SignedIn = (error: unknown, user: { id: string }) => void

passport.use(strategy)
passport.serializeUser<string>((user, done) => done(null, Reflect.get(user, 'id')))
passport.deserializeUser<string>((id, done) => done(null, { id }))
app.use(passport.session())

app.get('/', (req, res) => {
  res.send(page(req.user && Reflect.get(req.user, 'id'), 0, ''))
})
app.post('/sign-in', passport.authenticate('oauth2'))
// At the callback Passport regenerates the session, so a token from before the sign-in is worth nothing after it.
app.get('/callback', passport.authenticate('oauth2', { successRedirect: '/', failureRedirect: '/' }))
app.post('/sign-out', (req, res, next) => {
  req.session.destroy((error) => (error ? next(error) : res.redirect(303, '/')))
})

const server = app.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1', () =>
  console.log(server.address())
)
process.once('SIGTERM', () => server.close(() => sessions.close()))
