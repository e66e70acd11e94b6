import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { builtEntry, type PageData, required, respond, type Serve } from './application.ts'

/** `bodhi-session/web` on plain node:http. */
export const serveNodeHttp: Serve = async (setup) => {
  const entry =
    setup.kind === 'ours'
      ? await builtEntry<typeof import('../../src/frameworks/web.ts')>(setup.dist, 'web')
      : undefined
  const web = entry?.createWebSessions<PageData>(required(setup.sessions), { secure: false })
  const server = createServer(async (request, response) => {
    const session = await web?.load(request)
    const text = respond(request.url ?? '/', session?.data ?? {})
    const cookies = session ? await web?.commit(session) : undefined
    if (cookies && cookies.length > 0) response.setHeader('Set-Cookie', cookies)
    response.setHeader('content-type', 'application/json').end(text)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port // of a server that listens on TCP
}
