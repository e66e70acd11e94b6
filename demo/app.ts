import { readFileSync } from 'node:fs'
import express, { type Express, type NextFunction, type Request, type Response } from 'express'
import { expressSession } from '../src/frameworks/express.ts'
import { type DefaultSessionService, SessionError, type SessionId } from '../src/index.ts'
import { type Device, deviceOf, isDevice } from './devices.ts'
import type { Html } from './html.ts'
import {
  accountPage,
  counterPage,
  type DemoNode,
  isNotice,
  MAX_NAME_LENGTH,
  type Notice,
  problemPage,
  type SignedInDevice,
  signInPage,
  type Visitor
} from './pages.ts'
import { isCsrfToken, isSameOrigin, mintCsrfToken } from './request-checks.ts'

declare module 'express-session' {
  interface SessionData {
    /** The name that somebody signed in with. By this member the session is indexed. */
    userId: string
    csrfToken: string
    device: Device
    count: number
  }
}

export interface DemoOptions {
  readonly sessions: DefaultSessionService
  /** Signs the cookies; the same on every node. */
  readonly secret: string
  readonly node: DemoNode
}

const COOKIE_NAME = 'bodhiapp_session_id'
const STATIC_FILES = { '/style.css': 'text/css', '/icon.svg': 'image/svg+xml' } as const

interface SignedInVisitor extends Visitor {
  readonly sessionId: SessionId
}

/** The demo as an Express application. Whoever calls this owns the service and the server. */
export function createDemoApp({ sessions, secret, node }: DemoOptions): Express {
  const app = express()
  app.disable('x-powered-by')
  app.use(protectPages)
  for (const [path, type] of Object.entries(STATIC_FILES)) {
    const content = readFileSync(new URL(`.${path}`, import.meta.url))
    app.get(path, (_req, res) => void res.set('Cache-Control', 'no-cache').type(type).send(content))
  }

  const refuse = (res: Response, explanation: string) =>
    show(res.status(403), problemPage(node, 'Refused', explanation))

  // It listens on 127.0.0.1 without TLS, where a Secure cookie would not come back in every browser.
  app.use(expressSession(sessions, { secret, name: COOKIE_NAME, secure: false }))
  app.use((req, res, next) => {
    if (req.method !== 'POST' || isSameOrigin(req)) return next()
    refuse(res, 'This request did not come from a page of this site.')
  })
  app.use(express.urlencoded({ extended: false, limit: '4kb' }))

  app.get('/', (req, res) => {
    const visitor = visitorOf(req)
    if (visitor) return show(res, counterPage(node, visitor, req.session.count ?? 0))
    show(res, signInPage(node, { notice: noticeOf(req) ?? (hasSessionCookie(req) ? 'ended' : undefined) }))
  })

  app.post('/sign-in', async (req, res) => {
    const entered = field(req, 'name')
    const name = entered.normalize('NFC').trim()
    const problem = problemWith(name)
    if (problem !== undefined) {
      return show(res.status(422), signInPage(node, { problem, name: entered }))
    }
    // Whoever planted or saw the token that this browser came with holds nothing from here on.
    await settled((done) => req.session.regenerate(done))
    req.session.userId = name
    req.session.csrfToken = mintCsrfToken()
    req.session.device = deviceOf(req.get('user-agent'))
    req.session.count = 0
    await saveAndGo(req, res, '/')
  })

  /** A route for who is signed in; a form counts only with the token of its session. */
  const forVisitor = (
    answer: (visitor: SignedInVisitor, req: Request, res: Response) => void | Promise<void>
  ) => {
    return async (req: Request, res: Response): Promise<void> => {
      const visitor = visitorOf(req)
      if (visitor === undefined) return go(res, '/')
      if (req.method === 'POST' && !isCsrfToken(field(req, 'csrf'), visitor.csrfToken)) {
        return refuse(res, 'The form is out of date. Go back, reload the page and try again.')
      }
      // Lists and `except` speak of session ids, which are hashes; the cookie holds the token.
      const session = await sessions.load(req.sessionID)
      if (session === undefined) return go(res, '/') // ended a moment ago
      await answer({ ...visitor, sessionId: session.id }, req, res)
    }
  }

  app.post(
    '/count',
    forVisitor(async (_visitor, req, res) => {
      req.session.count = (req.session.count ?? 0) + 1
      await saveAndGo(req, res, '/#count') // the fragment puts the keyboard back on the button
    })
  )

  app.get(
    '/account',
    forVisitor(async (visitor, req, res) => {
      const devices = (await sessions.listSessionsForUser(visitor.name)).map(
        ({ id, createdAt, lastActiveAt, data }): SignedInDevice => ({
          id,
          device: isDevice(data?.['device']) ? data['device'] : deviceOf(undefined),
          firstSeen: createdAt,
          lastSeen: lastActiveAt,
          isThis: id === visitor.sessionId
        })
      )
      devices.sort((a, b) => Number(b.isThis) - Number(a.isThis)) // stable: the rest stays by last activity
      show(res, accountPage(node, visitor, devices, { notice: noticeOf(req), now: new Date() }))
    })
  )

  app.post(
    '/account/sign-out-device',
    forVisitor(async (visitor, req, res) => {
      const id = field(req, 'id')
      if (id === visitor.sessionId) return signOut(req, res, 'signed-out')
      // With the user id, so that nobody ends a session that is not theirs, whatever id they send.
      const ended = await sessions.revoke(id, { userId: visitor.name })
      go(res, '/account', ended ? 'device-out' : 'device-gone')
    })
  )

  app.post(
    '/account/sign-out-others',
    forVisitor(async (visitor, _req, res) => {
      await sessions.clearSessionsForUser(visitor.name, { except: visitor.sessionId })
      go(res, '/account', 'others-out')
    })
  )

  app.post(
    '/account/sign-out-everywhere',
    forVisitor(async (visitor, req, res) => {
      await sessions.clearSessionsForUser(visitor.name)
      await signOut(req, res, 'everywhere')
    })
  )

  app.post(
    '/sign-out',
    forVisitor((_visitor, req, res) => signOut(req, res, 'signed-out'))
  )

  app.use((_req, res) => show(res.status(404), problemPage(node, 'Not found', 'There is no such page.')))

  app.use((error: unknown, _req: Request, res: Response, next: NextFunction) => {
    const status = statusOf(error)
    if (status >= 500) console.error(error)
    if (res.headersSent) return next(error)
    if (status === 503) {
      res.set('Retry-After', '5')
      const explanation =
        'The session store does not answer at the moment. Nobody was signed out: try again shortly.'
      return show(res.status(503), problemPage(node, 'Back in a moment', explanation))
    }
    const title = status >= 500 ? 'Something went wrong' : 'Refused'
    show(
      res.status(status),
      problemPage(
        node,
        title,
        status >= 500 ? 'The server could not do this.' : 'The request cannot be read.'
      )
    )
  })
  return app
}

/** No page holds a script, or anything from elsewhere. `same-origin`: without a referrer a form's Origin would be null. */
function protectPages(_req: Request, res: Response, next: NextFunction): void {
  res.set({
    'Cache-Control': 'no-store',
    'Content-Security-Policy':
      "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Referrer-Policy': 'same-origin',
    'X-Content-Type-Options': 'nosniff'
  })
  next()
}

function visitorOf(req: Request): Visitor | undefined {
  const { userId, csrfToken } = req.session
  return userId === undefined || csrfToken === undefined ? undefined : { name: userId, csrfToken }
}

/** The names of people: any script, but nothing invisible, and nothing that breaks a line. */
function problemWith(name: string): string | undefined {
  if (!/[\p{L}\p{N}\p{P}\p{S}]/u.test(name)) return 'Please enter a name.'
  if (name.length > MAX_NAME_LENGTH) return `A name may have ${MAX_NAME_LENGTH} characters at most.`
  if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(name)) return 'A name must be a single line of text.'
  return undefined
}

async function signOut(req: Request, res: Response, notice: Notice): Promise<void> {
  await settled((done) => req.session.destroy(done)) // clears the cookie too
  go(res, '/', notice)
}

/** Saves first: a browser follows a redirect before the response has ended, and must find what was written. */
async function saveAndGo(req: Request, res: Response, path: string): Promise<void> {
  await settled((done) => req.session.save(done))
  go(res, path)
}

/** 303: what follows a form is a page, so that reloading it sends nothing twice. */
function go(res: Response, path: string, notice?: Notice): void {
  res.redirect(303, notice === undefined ? path : `${path}?notice=${notice}`)
}

function show(res: Response, page: Html): void {
  res.type('html').send(page.toString())
}

function noticeOf(req: Request): Notice | undefined {
  const { notice } = req.query
  return isNotice(notice) ? notice : undefined
}

function hasSessionCookie(req: Request): boolean {
  return req.headers.cookie?.split(/; */).some((cookie) => cookie.startsWith(`${COOKIE_NAME}=`)) ?? false
}

/** A field of a form; empty where it is missing, or was sent twice. */
function field(req: Request, name: string): string {
  const body: unknown = req.body // undefined where the request carries no form
  const value: unknown = typeof body === 'object' && body !== null ? Reflect.get(body, name) : undefined
  return typeof value === 'string' ? value : ''
}

function statusOf(error: unknown): number {
  if (error instanceof SessionError) return error.status
  const status: unknown =
    typeof error === 'object' && error !== null ? Reflect.get(error, 'status') : undefined
  return typeof status === 'number' && status >= 400 && status < 600 ? status : 500
}

/** For the methods of express-session that take a callback. */
function settled(start: (done: (error?: unknown) => void) => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  start((error) => (error ? reject(error) : resolve()))
  return promise
}
