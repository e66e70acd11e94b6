import type { MiddlewareHandler } from 'hono'
import { SessionError } from '../core/errors.ts'
import type { RequestSession } from '../http/request-session.ts'
import type { SessionCookieOptions } from '../http/session-cookie.ts'
import type { SessionServiceLike } from './service-source.ts'
import { createWebSessions } from './web.ts'

export type { RequestSession } from '../http/request-session.ts'
export type { SessionCookieOptions } from '../http/session-cookie.ts'
export type { SessionServiceLike } from './service-source.ts'

/**
 * The environment of an app with sessions: `new Hono<SessionEnv<MyData>>()` gives `c.get('session')` its type, in
 * handlers of other files too.
 */
export interface SessionEnv<T extends object = Record<string, unknown>> {
  Variables: { session: RequestSession<T> }
}

/**
 * Hono middleware: `c.get('session')` is the {@link RequestSession} of the request, loaded before the handler and
 * committed after it, before the headers are sent. What a streaming body changes later is not stored.
 *
 * A handler that throws, and is answered with 500 or more, stores nothing; one that throws a redirect or a 4xx has
 * answered, and what it changed is stored. A store that does not answer is an error with `status` 503: `app.onError`
 * gets it, and without one Hono answers 503.
 *
 * @param sessions The service, or the promise of it.
 * @throws ConfigurationError for an option that is unknown, or that browsers would refuse.
 */
export function honoSession<T extends object = Record<string, unknown>>(
  sessions: SessionServiceLike<T>,
  options?: SessionCookieOptions
): MiddlewareHandler<SessionEnv<T>> {
  const web = createWebSessions<T>(sessions, options)

  return async (c, next) => {
    const session = await web.load(c.req.raw).catch(refuse)
    c.set('session', session)
    await next()
    let cookies: string[]
    try {
      const hasFailed = c.error !== undefined && c.res.status >= 500
      cookies = hasFailed ? session.takeCookies() : await web.commit(session)
    } catch (error) {
      // The answer that the handler made must not leave: Hono would merge its headers into the error's.
      await c.res.body?.cancel().catch(() => {}) // it goes nowhere, so nothing that it says matters
      c.res = undefined
      c.finalized = false
      send(session.takeCookies())
      return refuse(error)
    }
    send(cookies)

    function send(values: readonly string[]): void {
      for (const value of values) c.header('Set-Cookie', value, { append: true })
      if (values.length > 0) c.header('Cache-Control', 'no-store')
    }
  }
}

/** Hono takes an error's answer from its `getResponse`, and knows nothing of `status`. */
function refuse(error: unknown): never {
  if (error instanceof SessionError && !('getResponse' in error)) {
    const { status } = error
    Object.defineProperty(error, 'getResponse', {
      value: () => new Response(status === 503 ? 'Service Unavailable' : 'Internal Server Error', { status })
    })
  }
  throw error
}
