import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serve as serveFetch } from '@hono/node-server'
import express from 'express'
import Fastify from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import { expressSession } from '../../src/frameworks/express.ts'
import { fastifySession } from '../../src/frameworks/fastify.ts'
import { honoSession, type SessionEnv } from '../../src/frameworks/hono.ts'
import { type KoaSessionContext, koaSession } from '../../src/frameworks/koa.ts'
import { createWebSessions } from '../../src/frameworks/web.ts'
import type { AdapterServer, AdapterSetup } from '../../src/testing/adapter-contract.ts'

/* One server per framework, each as an application would write it, for the adapter contract. */

export const SECRET = 'a secret of at least thirty-two characters'

export async function serveExpress({ sessions, cookie, handler }: AdapterSetup): Promise<AdapterServer> {
  const app = express()
  app.set('trust proxy', 1)
  app.use(expressSession(sessions, { secret: SECRET, ...cookie }))
  app.use(async (request, response) => {
    const session = {
      // Which keys there are is for the application to declare; the contract takes any.
      get data() {
        return request.session as unknown as Record<string, unknown>
      },
      rotate: () => done((callback) => request.session.regenerate(callback)),
      end: () => done((callback) => request.session.destroy(callback))
    }
    response.send(JSON.stringify(await handler(session, request.path)))
  })
  const onError: express.ErrorRequestHandler = (error, _request, response, _next) => {
    response.status(error.status ?? 500).send('Failed')
  }
  app.use(onError)
  return listen(app)
}

function done(start: (callback: (error: unknown) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => (error ? reject(error) : resolve()))
  })
}

export async function serveKoa({ sessions, cookie, handler }: AdapterSetup): Promise<AdapterServer> {
  const app = new Koa<Koa.DefaultState, KoaSessionContext>()
  app.proxy = true
  app.silent = true
  app.keys = [SECRET]
  app.use(koaSession(app, sessions, cookie))
  app.use(async (ctx) => {
    const session = {
      get data() {
        return ctx.session ?? {}
      },
      rotate: async () => ctx.session?.regenerate(),
      end: async () => {
        ctx.session = null
      }
    }
    ctx.body = JSON.stringify(await handler(session, ctx.path))
  })
  return listen(app.callback())
}

export async function serveFastify({ sessions, cookie, handler }: AdapterSetup): Promise<AdapterServer> {
  const app = Fastify({ trustProxy: true })
  const { prefix, ...others } = cookie
  await app.register(fastifySession, { sessions, secret: SECRET, ...others, ...(prefix && { prefix }) })
  app.get('*', async (request) => {
    const session = {
      // Which keys there are is for the application to declare; the contract takes any.
      get data() {
        return request.session as unknown as Record<string, unknown>
      },
      rotate: () => request.session.regenerate(),
      end: () => request.session.destroy()
    }
    return JSON.stringify(await handler(session, new URL(request.url, 'http://localhost').pathname))
  })
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  return { origin, close: () => app.close() }
}

export async function serveHono({ sessions, cookie, handler }: AdapterSetup): Promise<AdapterServer> {
  const app = new Hono<SessionEnv>()
  app.use(honoSession(sessions, cookie))
  app.get('*', async (c) => {
    const session = c.get('session')
    const answer = await handler(
      {
        get data() {
          return session.data
        },
        rotate: async () => {
          await session.rotate()
        },
        end: async () => {
          await session.destroy()
        }
      },
      c.req.path
    )
    return c.text(JSON.stringify(answer))
  })
  app.onError((error, c) =>
    'getResponse' in error ? (error.getResponse as () => Response)() : c.text('Failed', 500)
  )
  const server = serveFetch({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }) as Server
  return serverOf(server)
}

/** `load` and `commit` on plain node:http. */
export async function serveWeb({ sessions, cookie, handler }: AdapterSetup): Promise<AdapterServer> {
  const web = createWebSessions(sessions, cookie)
  return listen(async (request, response) => {
    try {
      const session = await web.load(request)
      const answer = await handler(
        {
          get data() {
            return session.data
          },
          rotate: async () => {
            await session.rotate()
          },
          end: async () => {
            await session.destroy()
          }
        },
        request.url ?? '/'
      )
      const cookies = await web.commit(session)
      if (cookies.length > 0) response.setHeader('Set-Cookie', cookies).setHeader('Cache-Control', 'no-store')
      response.end(JSON.stringify(answer))
    } catch (error) {
      response.statusCode = error instanceof Error && 'status' in error ? Number(error.status) : 500
      response.end('Failed')
    }
  })
}

/** `handle`, on any server that speaks Request and Response. */
export async function serveWebHandle({ sessions, cookie, handler }: AdapterSetup): Promise<AdapterServer> {
  const web = createWebSessions(sessions, cookie)
  const fetch = web.handle(
    async (request, session) => {
      const view = {
        get data() {
          return session.data
        },
        rotate: async () => {
          await session.rotate()
        },
        end: async () => {
          await session.destroy()
        }
      }
      return new Response(JSON.stringify(await handler(view, new URL(request.url).pathname)))
    },
    () => {} // failures of the store are provoked, and asserted by their status
  )
  const server = serveFetch({ fetch, hostname: '127.0.0.1', port: 0 }) as Server
  return serverOf(server)
}

export async function listen(listener: RequestListener): Promise<AdapterServer> {
  return serverOf(createServer(listener).listen(0, '127.0.0.1'))
}

async function serverOf(server: Server): Promise<AdapterServer> {
  if (!server.listening) await once(server, 'listening')
  const { port } = server.address() as AddressInfo // it listens on TCP
  return {
    origin: `http://127.0.0.1:${port}`,
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    }
  }
}
