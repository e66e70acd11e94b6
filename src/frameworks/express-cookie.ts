import type { CookieOptions, SessionData } from 'express-session'
import type { Session } from '../core/session.ts'

/** What a slow moment between two readings of the clock may cost. */
const MAX_CLOCK_LOSS_MS = 10

/*
 * In express-session one value, `cookie.maxAge`, says how long the browser keeps the cookie and how long the store keeps
 * the session. Here it is translated to and from a session's own idle timeout.
 */

/**
 * The idle timeout that a session's cookie asks for, in milliseconds; 0 or less: it has run out already. null: it asks
 * for none, so the service's holds.
 */
export function idleTimeoutOf(cookie: unknown): number | null {
  if (typeof cookie !== 'object' || cookie === null) return null
  const { expires, originalMaxAge, maxAge, toJSON } = cookie as Readonly<Record<string, unknown>>
  // In express-session's own Cookie `expires` lags behind: it counts from the load, or from the first byte of a long
  // response, and near the absolute deadline it is cut. What it is reset to, again and again, is the original.
  if (expires && typeof toJSON === 'function' && isNumber(originalMaxAge))
    return withoutClockLoss(originalMaxAge)
  if (typeof expires === 'string' || expires instanceof Date) {
    const remaining = new Date(expires).getTime() - Date.now()
    return Number.isNaN(remaining) ? null : remaining
  }
  return isNumber(maxAge) ? maxAge : null
}

/**
 * The data as express-session expects it: with a cookie whose `expires` is this machine's now plus the time that the
 * store says is left. What was stored in the cookie is older: touches extend a session without rewriting it.
 *
 * @param defaults The cookie of a session that express-session did not make.
 */
export function withLiveCookie<T extends object>(session: Session<T>, defaults: CookieOptions): SessionData {
  const { data, idleTimeoutMs, expiresInMs } = session
  const stored = storedCookie(data) ?? { path: '/', httpOnly: true, ...defaults }
  const times =
    idleTimeoutMs === null
      ? noExpiry(stored)
      : { originalMaxAge: idleTimeoutMs, expires: new Date(Date.now() + expiresInMs) }
  // The cookie keeps its place among the keys: express-session compares the JSON of what it was given.
  return withCookie(data, { ...stored, ...times })
}

/** As {@link withLiveCookie} for a list, which tells when a session ends by the store's clock alone. */
export function withListedCookie(data: object, expiresAt: Date, defaults: CookieOptions): SessionData {
  const stored = storedCookie(data) ?? { path: '/', httpOnly: true, ...defaults }
  const { originalMaxAge } = stored
  const times = isNumber(originalMaxAge) ? { originalMaxAge, expires: expiresAt } : noExpiry(stored)
  return withCookie(data, { ...stored, ...times })
}

function withCookie(data: object, cookie: object): SessionData {
  // SessionData is what the application has declared that it puts there: its word, as the type of the data is.
  return Object.assign(data, { cookie }) as object as SessionData
}

/**
 * express-session asks the clock twice whenever it sets or resets maxAge, once per request at least, and may lose a
 * millisecond each time: written back, they would add up. So a timeout just short of a whole second is that second.
 */
function withoutClockLoss(maxAge: number): number {
  const wholeSeconds = Math.ceil(maxAge / 1_000) * 1_000
  return wholeSeconds - maxAge <= MAX_CLOCK_LOSS_MS ? wholeSeconds : maxAge
}

/** `expires: false` stays what it is: the application asked for a cookie that dies with the browser. */
function noExpiry(stored: Readonly<Record<string, unknown>>) {
  const none = stored['expires'] === false ? (false as unknown as null) : null // false is documented, but not typed
  return { originalMaxAge: none, expires: none }
}

function storedCookie(data: object): Readonly<Record<string, unknown>> | undefined {
  const { cookie } = data as { readonly cookie?: unknown }
  return typeof cookie === 'object' && cookie !== null ? { ...cookie } : undefined
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}
