import { STATUS_CODES } from 'node:http'
import { SessionError } from '../core/errors.ts'
import { RequestSession } from '../http/request-session.ts'
import { SessionCookie, type SessionCookieOptions } from '../http/session-cookie.ts'
import { type SessionServiceLike, serviceSource } from './service-source.ts'

export type { RequestSession } from '../http/request-session.ts'
export type { SessionCookieOptions } from '../http/session-cookie.ts'
export type { SessionServiceLike } from './service-source.ts'

/** A Fetch `Request`, or Node's `IncomingMessage`: also that of a WebSocket upgrade. */
export interface RequestWithHeaders {
  readonly headers: { get(name: string): string | null } | { readonly cookie?: string | undefined }
}

/** Handles one request; `Rest` is what the server passes besides (an environment, a context). */
export type SessionHandler<T extends object, R extends RequestWithHeaders, Rest extends unknown[]> = (
  request: R,
  session: RequestSession<T>,
  ...rest: Rest
) => Response | Promise<Response>

export interface WebSessions<T extends object> {
  /**
   * The session of a request. Until it is committed, every call with the same request gives the same session. A request
   * without the cookie costs no query.
   * @throws BackendUnavailableError (`status` 503) where the store does not answer: never an empty session in its place.
   */
  load(request: RequestWithHeaders): Promise<RequestSession<T>>

  /**
   * Stores what the handler changed, or extends the idle timeout. Call it once, after the handler and before the headers
   * are sent. Changes made later, while a body streams, need another commit.
   * @returns The Set-Cookie values to send. Where there are any, send `Cache-Control: no-store` too.
   */
  commit(session: RequestSession<T>): Promise<string[]>

  /**
   * Does both around a handler. A handler that throws stores nothing, and its error is passed on; a `Response` that it
   * throws is an answer like any other. Where the store fails, the answer is 503 (or 500), and the error goes to `report`.
   * @param report Default: `console.error`.
   */
  handle<R extends RequestWithHeaders = Request, Rest extends unknown[] = []>(
    handler: SessionHandler<T, R, Rest>,
    report?: (error: SessionError) => void
  ): (request: R, ...rest: Rest) => Promise<Response>
}

/**
 * Sessions for anything that speaks Request and Response, and for plain `node:http`.
 *
 * @param sessions The service, or the promise of it.
 * @throws ConfigurationError for an option that is unknown, or that browsers would refuse.
 */
export function createWebSessions<T extends object = Record<string, unknown>>(
  sessions: SessionServiceLike<T>,
  options?: SessionCookieOptions
): WebSessions<T> {
  const service = serviceSource(sessions)
  const cookie = new SessionCookie(options)
  const loading = new WeakMap<RequestWithHeaders, Promise<RequestSession<T>>>()
  const requests = new WeakMap<RequestSession<T>, RequestWithHeaders>()

  async function load(request: RequestWithHeaders): Promise<RequestSession<T>> {
    try {
      const session = await RequestSession.load<T>(service, cookie, cookieHeaderOf(request))
      requests.set(session, request)
      return session
    } catch (error) {
      loading.delete(request)
      throw error
    }
  }

  const webSessions: WebSessions<T> = {
    load(request) {
      let session = loading.get(request)
      if (session === undefined) {
        session = load(request)
        loading.set(request, session)
      }
      return session
    },

    commit(session) {
      const request = requests.get(session)
      if (request !== undefined) loading.delete(request)
      return session.commit()
    },

    handle(handler, report = console.error) {
      return async (request, ...rest) => {
        let session: RequestSession<T>
        try {
          session = await webSessions.load(request)
        } catch (error) {
          return failureOf(error, report)
        }
        const response = await answerOf(() => handler(request, session, ...rest))
        try {
          return withCookies(response, await webSessions.commit(session))
        } catch (error) {
          await response.body?.cancel().catch(() => {}) // it goes nowhere, so nothing that it says matters
          return withCookies(failureOf(error, report), session.takeCookies())
        }
      }
    }
  }
  return webSessions
}

function cookieHeaderOf({ headers }: RequestWithHeaders): string | null | undefined {
  return 'get' in headers && typeof headers.get === 'function'
    ? headers.get('cookie')
    : Reflect.get(headers, 'cookie')
}

async function answerOf(handle: () => Response | Promise<Response>): Promise<Response> {
  try {
    return await handle()
  } catch (thrown) {
    if (thrown instanceof Response) return thrown
    throw thrown
  }
}

function failureOf(error: unknown, report: (error: SessionError) => void): Response {
  if (!(error instanceof SessionError)) throw error
  report(error)
  return new Response(STATUS_CODES[error.status], { status: error.status })
}

function withCookies(response: Response, cookies: readonly string[]): Response {
  if (cookies.length === 0) return response
  // The headers of a redirect, or of a response that was fetched, cannot be changed.
  const answer = new Response(response.body, response)
  for (const value of cookies) answer.headers.append('Set-Cookie', value)
  answer.headers.set('Cache-Control', 'no-store')
  return answer
}
