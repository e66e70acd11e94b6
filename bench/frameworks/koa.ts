import type { AddressInfo } from 'node:net'
import Koa from 'koa'
import koaSessionMiddleware from 'koa-session'
import type { KoaSessionContext } from '../../src/frameworks/koa.ts'
import type { ExpressStore } from '../contenders/express-store.ts'
import type { BenchData } from '../harness/contender.ts'
import { builtEntry, type PageData, required, respond, SECRET, type Serve } from './application.ts'

export const serveKoa: Serve = async (setup) => {
  const app = new Koa<Koa.DefaultState, KoaSessionContext>()
  app.keys = [SECRET]
  app.silent = true
  if (setup.kind === 'ours') {
    const entry = await builtEntry<typeof import('../../src/frameworks/koa.ts')>(setup.dist, 'koa')
    app.use(entry.koaSession(app, required(setup.sessions), { secure: false }))
  } else if (setup.kind === 'usual') {
    app.use(koaSessionMiddleware({ store: promisedStore(required(setup.store)), rolling: true }, app))
  }
  app.use((ctx) => {
    ctx.type = 'application/json'
    ctx.body = respond(ctx.path, ctx.session ?? {})
  })
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  return (server.address() as AddressInfo).port // of a server that listens on TCP
}

/** koa-session has no store for these databases of its own: the stores of express-session are wrapped. */
function promisedStore(store: ExpressStore) {
  const settle = (call: (done: (error: unknown, result?: unknown) => void) => unknown) =>
    new Promise<unknown>((resolve, reject) => {
      call((error, result) => (error ? reject(error) : resolve(result)))
    })
  return {
    get: async (key: string) => (await settle((done) => store.get(key, done))) as PageData | undefined, // what was set
    set: async (key: string, data: PageData) => {
      // The store reads a cookie only where there is one; koa-session puts its own fields beside the data.
      await settle((done) => store.set(key, data as BenchData, done))
    },
    destroy: async (key: string) => {
      await settle((done) => store.destroy(key, done))
    }
  }
}
