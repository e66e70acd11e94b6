import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BackendUnavailableError, DefaultSessionService, type Session } from '../../src/index.ts'
import { startPostgres, type TestServer } from '../support/postgres.ts'

/*
 * "Outage is not signed out": with an error listener a Keyv answers undefined and false while its store is away. The
 * service must throw all the same, or an outage of the database signs everybody out.
 */
describe('while PostgreSQL is away', () => {
  let server: TestServer

  beforeAll(async () => {
    server = await startPostgres()
  })

  afterAll(() => server.close())

  async function connect(): Promise<DefaultSessionService> {
    return DefaultSessionService.connect(server.url, {
      touchAfterMs: 0,
      postgres: { connectTimeoutMs: 1_000, statementTimeoutMs: 2_000 }
    })
  }

  const calls: Record<string, (sessions: DefaultSessionService, session: Session) => Promise<unknown>> = {
    create: (sessions) => sessions.create({ user_id: 'ada' }),
    load: (sessions, { token }) => sessions.load(token),
    save: (sessions, { token }) => sessions.save(token, { user_id: 'ada' }),
    update: (sessions, { token }) => sessions.update(token, () => ({ user_id: 'ada' })),
    touch: (sessions, { token }) => sessions.touch(token),
    rotate: (sessions, { token }) => sessions.rotate(token),
    destroy: (sessions, { token }) => sessions.destroy(token),
    put: (sessions, { token }) => sessions.put(token, { user_id: 'ada' }, { ifMissing: 'insert' }),
    getSessionIdsForUser: (sessions) => sessions.getSessionIdsForUser('ada'),
    listSessionsForUser: (sessions) => sessions.listSessionsForUser('ada'),
    countSessionsForUser: (sessions) => sessions.countSessionsForUser('ada'),
    clearSessionsForUser: (sessions) => sessions.clearSessionsForUser('ada'),
    revoke: (sessions, { id }) => sessions.revoke(id),
    countSessions: (sessions) => sessions.countSessions(),
    clearAllSessions: (sessions) => sessions.clearAllSessions(),
    dumpAllSessions: (sessions) => sessions.dumpAllSessions().next(),
    pruneExpired: (sessions) => sessions.pruneExpired(),
    ping: (sessions) => sessions.ping()
  }

  for (const listener of ['without', 'with']) {
    test(`every call throws a typed error, ${listener} an error listener on the Keyv, and nobody is signed out`, async () => {
      await using sessions = await connect()
      const heard: unknown[] = []
      if (listener === 'with') sessions.keyv.on('error', (error: unknown) => heard.push(error))
      const session = await sessions.create({ user_id: 'ada' })
      await server.stop('immediate')
      try {
        for (const [name, call] of Object.entries(calls)) {
          const error: unknown = await call(sessions, session).then(
            () => undefined,
            (reason: unknown) => reason
          )
          expect(error, name).toBeInstanceOf(BackendUnavailableError)
          expect(error, name).toMatchObject({
            code: 'SESSION_BACKEND_UNAVAILABLE',
            status: 503,
            statusCode: 503,
            retryable: true
          })
          expect(String(error), name).not.toContain(session.token)
          expect(inspect(error, { depth: 9 }), name).not.toContain(':bodhi_test@')
        }
      } finally {
        await server.start()
      }
      expect((await sessions.load(session.token))?.userId).toBe('ada')
    })
  }

  test('the same service works again after a restart that cut all its connections', async () => {
    await using sessions = await connect()
    const { token } = await sessions.create({ n: 0 })
    await Promise.all(Array.from({ length: 20 }, () => sessions.load(token)))
    await server.stop('fast')
    await server.start()
    expect(await sessions.save(token, { n: 1 })).toBe(true)
    expect((await sessions.load(token))?.data).toEqual({ n: 1 })
  })

  test('connect rejects while the server is away, says so without the password, and works afterwards', async () => {
    await server.stop('fast')
    try {
      const error: unknown = await connect().catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(BackendUnavailableError)
      expect(inspect(error, { depth: 9 })).not.toContain(':bodhi_test@')
    } finally {
      await server.start()
    }
    await using sessions = await connect()
    await sessions.ping()
  })
})
