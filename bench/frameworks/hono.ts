import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import type { SessionEnv } from '../../src/frameworks/hono.ts'
import { builtEntry, type PageData, required, respond, type Serve } from './application.ts'

export const serveHono: Serve = async (setup) => {
  const app = new Hono<SessionEnv<PageData>>()
  if (setup.kind === 'ours') {
    const entry = await builtEntry<typeof import('../../src/frameworks/hono.ts')>(setup.dist, 'hono')
    app.use(entry.honoSession<PageData>(required(setup.sessions), { secure: false }))
  }
  app.get('*', (c) => {
    const data = setup.kind === 'none' ? {} : c.get('session').data
    return c.body(respond(c.req.path, data), 200, { 'content-type': 'application/json' })
  })
  return new Promise((resolve) => {
    serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }: AddressInfo) => resolve(port))
  })
}
