import { BackendUnavailableError, ConfigurationError } from '../core/errors.ts'
import type { DefaultSessionService } from '../default-session-service.ts'

/** What every adapter takes: the service, or the promise of it, since frameworks are set up synchronously. */
export type SessionServiceLike<T extends object = Record<string, unknown>> =
  | DefaultSessionService<T>
  | Promise<DefaultSessionService<T>>

/** Gives the service: at once where it is there, else when it is. Rejects with BackendUnavailableError (503). */
export type ServiceSource<T extends object> = () =>
  | DefaultSessionService<T>
  | Promise<DefaultSessionService<T>>

/** As long as connecting to PostgreSQL takes at most by default (`postgres.connectTimeoutMs`). */
const DEFAULT_WAIT_MS = 5_000

/**
 * Turns the service, or the promise of it, into a function that gives the service. While the promise is pending each
 * call waits for it, `waitMs` at most (default: 5 s); after that, and where the promise was rejected, it rejects with
 * a BackendUnavailableError whose `cause` is the reason. A rejection that nobody is waiting for yet is not an
 * unhandled one: it is told to every later call instead.
 *
 * @throws ConfigurationError where `sessions` is neither a service nor a promise.
 */
export function serviceSource<T extends object>(
  sessions: SessionServiceLike<T>,
  { waitMs = DEFAULT_WAIT_MS }: { waitMs?: number } = {}
): ServiceSource<T> {
  if (!isPromise(sessions)) {
    const service = checkedService(sessions)
    return () => service
  }
  let settled: DefaultSessionService<T> | undefined
  const pending = sessions.then((service) => {
    settled = checkedService(service)
    return settled
  })
  pending.catch(() => {}) // every call below reports it
  return () => settled ?? waitFor(pending, waitMs)
}

async function waitFor<T extends object>(
  pending: Promise<DefaultSessionService<T>>,
  waitMs: number
): Promise<DefaultSessionService<T>> {
  const late = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => late.resolve(undefined), waitMs)
  const service = await Promise.race([pending, late.promise])
    .catch((reason: unknown) => {
      // A new error for each request: frameworks write to the errors that they are given.
      const because = reason instanceof Error ? reason.message : String(reason)
      throw new BackendUnavailableError(`The session service could not be connected: ${because}`, {
        cause: reason
      })
    })
    .finally(() => clearTimeout(timer))
  if (service === undefined) {
    throw new BackendUnavailableError(`The session service was not connected within ${waitMs} ms.`)
  }
  return service
}

function isPromise<T extends object>(
  sessions: SessionServiceLike<T>
): sessions is Promise<DefaultSessionService<T>> {
  return typeof sessions === 'object' && sessions !== null && 'then' in sessions
}

/** By its methods, not its class: an application may load the CommonJS and the ES module build side by side. */
function checkedService<T extends object>(service: DefaultSessionService<T>): DefaultSessionService<T> {
  if (typeof service === 'object' && service !== null && typeof service.put === 'function') return service
  throw new ConfigurationError(
    `A session adapter needs the DefaultSessionService, or the promise of one; it got ${service === null ? 'null' : typeof service}.`
  )
}
