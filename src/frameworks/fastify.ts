import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { applyRules, type OptionRules, optional } from '../config/option-rules.ts'
import { ConfigurationError } from '../core/errors.ts'
import { mintToken } from '../core/token.ts'
import type { DefaultSessionService } from '../default-session-service.ts'
import { warnOfInsecureRequest } from '../http/insecure-request.ts'
import {
  COOKIE_RULES,
  type CookieSettings,
  SessionCookie,
  type SessionCookieOptions
} from '../http/session-cookie.ts'
import { FastifySessionStore } from './fastify-session-store.ts'
import { loadPeer } from './peer-dependency.ts'
import { type SessionServiceLike, serviceSource } from './service-source.ts'

export type { SessionCookieOptions } from '../http/session-cookie.ts'
export { FastifySessionStore } from './fastify-session-store.ts'
export type { SessionServiceLike } from './service-source.ts'

/** @fastify/session's own minimum, for each secret of a list too. */
const MIN_SECRET_LENGTH = 32

/** Signs the cookie in a manner of its own. */
export interface FastifySessionSigner {
  sign(value: string): string
  unsign(input: string): { valid: boolean; renew: boolean; value: string | null }
}

/** A service of any data: Fastify's `Session` interface says what is in it. */
type AnySessionService = Pick<DefaultSessionService<object>, 'load' | 'put' | 'touch' | 'destroy'>

export interface FastifySessionOptions extends Omit<SessionCookieOptions, 'prefix'> {
  /** As in {@link SessionCookieOptions}; it must not be undefined, since Fastify's own options have one of this name. */
  readonly prefix?: '__Host-' | '__Secure-'
  /** The service, or the promise of it. */
  readonly sessions: AnySessionService | Promise<AnySessionService>
  /**
   * Signs the cookie: at least 32 characters. In a list the first signs and all are accepted, so secrets can be changed
   * without signing anybody out.
   */
  readonly secret: string | string[] | FastifySessionSigner
}

interface Settings extends CookieSettings {
  readonly sessions: unknown
  readonly secret: unknown
}

const RULES: OptionRules<Settings> = {
  ...COOKIE_RULES,
  sessions: optional((value) => typeof value === 'object', 'a DefaultSessionService, or the promise of one'),
  secret: {
    ...optional(
      isSecret,
      `a string of at least ${MIN_SECRET_LENGTH} characters, a list of those, or a signer`
    ),
    secret: true
  }
}

/**
 * @fastify/cookie and @fastify/session with our store and our defaults:
 * `app.register(fastifySession, { sessions, secret })`. A @fastify/cookie that is registered already is used. Set here, and
 * not to be changed: `saveUninitialized: false`, `rolling: false` (requests that change nothing extend the idle timeout all
 * the same, by a touch that mostly costs nothing), `idGenerator` (256 random bits), and the cookie, which is sent when a
 * session is made, regenerated or destroyed, and lives until the absolute timeout.
 *
 * @throws ConfigurationError where a package is not installed, the secret is missing or too short, or an option is wrong.
 */
export const fastifySession: FastifyPluginAsync<FastifySessionOptions> = async (app, options) => {
  const {
    sessions: _,
    secret: given,
    ...settings
  } = applyRules(options, RULES, '', (option) => `The option ${option}`)
  if (given === undefined) {
    throw new ConfigurationError(
      `The option secret is missing: it signs the session cookie. Pass what "openssl rand -base64 32" prints, from the environment.`
    )
  }
  const cookie = new SessionCookie(settings)
  const sessions = options.sessions as SessionServiceLike<object> // checked by serviceSource, at run time
  const service = serviceSource(sessions)
  const fastifyCookie = loadPeer<typeof import('@fastify/cookie')>('@fastify/cookie', 'bodhi-session/fastify')
  const plugin = loadPeer<typeof import('@fastify/session')>('@fastify/session', 'bodhi-session/fastify')

  if (!app.hasPlugin('@fastify/cookie')) await app.register(fastifyCookie)
  app.addHook('onRequest', async (request) => {
    if (cookie.isAmbiguousIn(request.headers.cookie)) delete request.cookies[cookie.name]
  })
  const { domain, ...attributes } = cookie.attributes
  await app.register(plugin, {
    store: new FastifySessionStore(sessions),
    secret: options.secret,
    cookieName: cookie.name,
    cookie: { ...attributes, httpOnly: true, ...(domain !== undefined && { domain }) },
    saveUninitialized: false,
    rolling: false,
    idGenerator: mintToken
  })

  // Runs after @fastify/session's own hook, which has saved by then what was changed.
  app.addHook('onSend', async (request, reply) => {
    const held = request.cookies[cookie.name]
    const session: FastifyRequest['session'] | null = request.session
    if (session === null) {
      if (held !== undefined) sendCookies(reply, otherCookies(reply, cookie.name), cookie.serialiseCleared())
      return
    }
    if (session.sessionId === undefined) return // a request outside the cookie's path has no session
    if (settings.secure && request.protocol !== 'https' && session.isModified()) {
      warnOfInsecureRequest('Fastify', 'set trustProxy in the options of fastify()')
    }
    const isLoaded = held !== undefined && isCookieOf(held, session)
    if (isLoaded && !session.isSaved()) await (await service()).touch(session.sessionId)
    const sent = ownCookie(reply, cookie.name)
    if (sent === undefined) return
    const maxAgeMs = (await service()).options.absoluteTimeoutMs
    sendCookies(
      reply,
      otherCookies(reply, cookie.name),
      newsOf(sent, held, isLoaded, session, cookie, maxAgeMs)
    )
  })
}

/** Whether the browser's cookie is this session's, signed with any secret of the list. */
function isCookieOf(held: string, session: FastifyRequest['session']): boolean {
  return held === session.encryptedSessionId || held.startsWith(`${session.sessionId}.`)
}

/**
 * The cookie to send in place of the one that @fastify/session would: it sends one with every save, without a time to live,
 * and clears what it does not know. A stranger's cookie is left alone here: a parallel request may just have replaced it by
 * regenerating the session, and clearing it would sign that user out.
 */
function newsOf(
  sent: string,
  held: string | undefined,
  isLoaded: boolean,
  session: FastifyRequest['session'],
  cookie: SessionCookie,
  maxAgeMs: number
): string | undefined {
  const isOwnLifetime = sent.includes('; Expires=') && session.cookie.originalMaxAge != null
  if (isLoaded) {
    if (held !== session.encryptedSessionId) return cookie.serialise(session.encryptedSessionId, maxAgeMs)
    return isOwnLifetime ? sent : undefined
  }
  if (sent.startsWith(`${cookie.name}=;`)) return undefined
  return isOwnLifetime ? sent : `${sent}; Max-Age=${Math.ceil(maxAgeMs / 1000)}`
}

function setCookies(reply: FastifyReply): string[] {
  return [reply.getHeader('set-cookie') ?? []].flat().map(String)
}

function ownCookie(reply: FastifyReply, name: string): string | undefined {
  return setCookies(reply).find((value) => value.startsWith(`${name}=`))
}

function otherCookies(reply: FastifyReply, name: string): string[] {
  return setCookies(reply).filter((value) => !value.startsWith(`${name}=`))
}

function sendCookies(reply: FastifyReply, others: readonly string[], own: string | undefined): void {
  const values = own === undefined ? others : [...others, own]
  reply.removeHeader('set-cookie')
  if (values.length > 0) reply.header('set-cookie', values)
  if (own !== undefined) reply.header('cache-control', 'no-store')
}

function isSecret(value: unknown): boolean {
  if (typeof value === 'string') return value.length >= MIN_SECRET_LENGTH
  if (Array.isArray(value))
    return value.length > 0 && value.every((secret) => typeof secret === 'string' && isSecret(secret))
  if (typeof value !== 'object' || value === null) return false
  return (
    typeof Reflect.get(value, 'sign') === 'function' && typeof Reflect.get(value, 'unsign') === 'function'
  )
}

// The hooks are for the application's own routes, not for this plugin's scope alone.
Object.assign(fastifySession, {
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'bodhi-session'
})
