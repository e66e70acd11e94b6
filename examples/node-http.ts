import { createServer, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { DefaultSessionService } from 'bodhi-session'
import { createWebSessions, type RequestSession } from 'bodhi-session/web'
import { WebSocketServer } from 'ws'
import { page } from './page.ts'

type MyData = { user_id: string; views: number }

const sessions = await DefaultSessionService.fromEnv<MyData>()
const web = createWebSessions(sessions, { secure: process.env['NODE_ENV'] === 'production' })
const sockets = new WebSocketServer({ noServer: true })

/** The page to show, or undefined for a redirect to it. */
async function open(request: IncomingMessage, session: RequestSession<MyData>): Promise<string | undefined> {
  const { data, userId } = session
  if (request.url === '/sign-in') {
    await session.rotate() // a token that was planted before the sign-in is worth nothing after it
    data.user_id = new URLSearchParams(await text(request)).get('name') ?? 'nobody'
  }
  if (request.url === '/sign-out') await session.destroy()
  if (request.url === '/sign-out-everywhere' && userId) await sessions.clearSessionsForUser(userId)
  if (request.method !== 'GET') return undefined
  if (data.user_id) data.views = (data.views ?? 0) + 1
  return page(data.user_id, data.views ?? 0)
}

const server = createServer(async (request, response) => {
  try {
    const session = await web.load(request)
    const html = await open(request, session)
    const cookies = await web.commit(session)
    if (cookies.length > 0) response.setHeader('Set-Cookie', cookies).setHeader('Cache-Control', 'no-store')
    response.writeHead(html ? 200 : 303, html ? { 'content-type': 'text/html' } : { location: '/' }).end(html)
  } catch (error) {
    response.writeHead(error instanceof Error && 'status' in error ? Number(error.status) : 500).end()
  }
})

/** Asked anew for every message: the user may have signed out since. A commit extends the idle timeout. */
async function currentUser(upgrade: IncomingMessage): Promise<string | null> {
  const session = await web.load(upgrade)
  await web.commit(session)
  return session.userId
}

server.on('upgrade', async (upgrade, socket, head) => {
  if (!(await currentUser(upgrade).catch(() => null)))
    return void socket.end('HTTP/1.1 401 Unauthorized\r\n\r\n')
  sockets.handleUpgrade(upgrade, socket, head, (peer) => {
    peer.on('message', async (message) => {
      const user = await currentUser(upgrade).catch(() => null)
      user ? peer.send(`${user}: ${message}`) : peer.close(4401, 'signed out')
    })
  })
})

server.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1', () => console.log(server.address()))
process.once('SIGTERM', () => server.close(() => sessions.close()))
