import { randomBytes } from 'node:crypto'
import express from 'express'

/* Another site, for express-passport.ts: an OAuth 2 server that lets in whoever asks, without a password. */

/** Users by the code that the browser takes back to the application. */
const codes = new Map<string, string>()
const app = express()

app.get('/authorize', (req, res) => {
  const fields = ['redirect_uri', 'state'].map((name) => {
    const value = String(req.query[name]).replaceAll(
      /[&<>"']/g,
      (character) => `&#${character.charCodeAt(0)};`
    )
    return `<input type="hidden" name="${name}" value="${value}">`
  })
  res.send(`<!doctype html><form action="/allow">${fields.join('')}
    <input name="name" value="ada" aria-label="Name"><button>Allow</button></form>`)
})

app.get('/allow', (req, res) => {
  const target = new URL(String(req.query['redirect_uri']))
  // Only to this machine: a provider that sends its codes anywhere gives them away.
  if (target.hostname !== '127.0.0.1') throw new Error('An unknown application')
  const code = randomBytes(16).toString('hex')
  codes.set(code, String(req.query['name']))
  target.searchParams.set('code', code)
  target.searchParams.set('state', String(req.query['state']))
  res.redirect(target.href)
})

app.post('/token', express.urlencoded(), (req, res) => {
  const user = codes.get(req.body.code)
  codes.delete(req.body.code)
  if (user === undefined) res.status(400).json({ error: 'invalid_grant' })
  else res.json({ access_token: randomBytes(16).toString('hex'), token_type: 'bearer', user })
})

const server = app.listen(Number(process.env['PORT'] ?? 4000), 'localhost', () =>
  console.log(server.address())
)
process.once('SIGTERM', () => server.close())
