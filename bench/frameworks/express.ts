import type { AddressInfo } from 'node:net'
import express from 'express'
import session from 'express-session'
import { builtEntry, required, respond, SECRET, type Serve } from './application.ts'

export const serveExpress: Serve = async (setup) => {
  const app = express()
  if (setup.kind === 'ours') {
    const entry = await builtEntry<typeof import('../../src/frameworks/express.ts')>(setup.dist, 'express')
    app.use(entry.expressSession(required(setup.sessions), { secret: SECRET, secure: false }))
  } else if (setup.kind === 'usual') {
    const store = required(setup.store) as unknown as session.Store // it is one; only its untyped part was described
    const cookie = { maxAge: 86_400_000 }
    app.use(session({ store, secret: SECRET, resave: false, saveUninitialized: false, cookie }))
  }
  app.use((request, response) => {
    // Which keys there are is for an application to declare; this one takes any.
    const data = (request.session ?? {}) as unknown as Record<string, unknown>
    response.type('application/json').send(respond(request.path, data))
  })
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  return (server.address() as AddressInfo).port // of a server that listens on TCP
}
