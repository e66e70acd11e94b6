import { keyvOver } from '../backends/registry.ts'
import { SqliteSessionStorage } from '../backends/sqlite/adapter.ts'
import { resolveOptions, type SessionServiceOptions } from '../config/options.ts'
import { DefaultSessionService } from '../default-session-service.ts'
import { FakeClock } from './fake-clock.ts'

export interface TestSessionsOptions<T extends object = Record<string, unknown>>
  extends SessionServiceOptions<T> {
  /** The clock of the store: one that several services share, or that starts at a moment of your choice. */
  readonly clock?: FakeClock | undefined
}

/** A session service for a test, and the clock that it goes by. */
export interface TestSessions<T extends object = Record<string, unknown>> extends AsyncDisposable {
  readonly sessions: DefaultSessionService<T>
  readonly clock: FakeClock
  /** Closes the service; its sessions are gone. */
  close(): Promise<void>
}

/**
 * A session service in memory, empty, on a clock that you move: the real service on the real SQLite store, so that tests
 * see the checks, limits and errors that production sees. Takes the options of `connect`; nothing is pruned by itself.
 *
 * @example
 * await using test = await createTestSessions({ idleTimeoutMs: 60_000 })
 * const { token } = await signIn(test.sessions, 'ada')
 * test.clock.advance(60_000)
 * assert.equal(await test.sessions.load(token), undefined)
 *
 * @throws ConfigurationError for an unknown or invalid option.
 */
export async function createTestSessions<T extends object = Record<string, unknown>>({
  clock = new FakeClock(),
  ...given
}: TestSessionsOptions<T> = {}): Promise<TestSessions<T>> {
  const options = { pruneIntervalMs: 0, ...given }
  const { sqlite } = resolveOptions<T>(options)
  const storage = new SqliteSessionStorage({ path: ':memory:', ...sqlite, now: () => clock.now() })
  const sessions = new DefaultSessionService<T>(keyvOver(storage), options)
  await storage.ready()
  const close = async () => {
    await sessions.close()
    await storage.disconnect()
  }
  return { sessions, clock, close, [Symbol.asyncDispose]: close }
}
