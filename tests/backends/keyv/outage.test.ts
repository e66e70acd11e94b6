import KeyvRedis from '@keyv/redis'
import { Keyv } from 'keyv'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { KeyvSessionStorage } from '../../../src/backends/keyv/adapter.ts'
import { BackendUnavailableError, DefaultSessionService, type Session } from '../../../src/index.ts'
import { startRedis, type TestRedis } from '../../support/redis.ts'

const CALLS: Record<string, (sessions: DefaultSessionService, session: Session) => Promise<unknown>> = {
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

const OPTIONS = { touchAfterMs: 0, pruneIntervalMs: 0 } as const

async function expectOutage(sessions: DefaultSessionService, session: Session): Promise<void> {
  await Promise.all(
    Object.entries(CALLS).map(async ([name, call]) => {
      const error: unknown = await call(sessions, session).then(
        (answer) => `answered ${String(answer)}`,
        (reason: unknown) => reason
      )
      expect(error, name).toBeInstanceOf(BackendUnavailableError)
      expect(error, name).toMatchObject({ status: 503, retryable: true })
      expect(String(error), name).not.toContain(session.token)
    })
  )
}

/** After an outage the client comes back by itself, after a pause of its own choosing. */
async function loadedAgain(sessions: DefaultSessionService, token: string): Promise<Session | undefined> {
  for (;;) {
    try {
      return await sessions.load(token)
    } catch (error) {
      if (!(error instanceof BackendUnavailableError)) throw error
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

describe('while Redis is away', () => {
  let redis: TestRedis

  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis.close())

  test('every call on a store that connect() opened throws, and nobody is signed out', async () => {
    await using sessions = await DefaultSessionService.connect(redis.url, OPTIONS)
    const session = await sessions.create({ user_id: 'ada' })
    await redis.stop()
    await expectOutage(sessions, session)
    await redis.start()
    expect((await loadedAgain(sessions, session.token))?.userId).toBe('ada')
    expect(await sessions.getSessionIdsForUser('ada')).toContain(session.id)
  })

  for (const listener of ['without', 'with']) {
    test(`every call on a Keyv ${listener} an error listener throws, and nobody is signed out`, async () => {
      const adapter = new KeyvRedis(redis.url)
      const keyv = new Keyv(adapter)
      const heard: unknown[] = []
      if (listener === 'with') keyv.on('error', (error: unknown) => heard.push(error))
      // This adapter queues commands while it is disconnected: only the time-out ends the wait.
      const store = new KeyvSessionStorage(keyv, { timeoutMs: 300 })
      await using sessions = new DefaultSessionService(new Keyv({ store, serialization: false }), OPTIONS)
      const session = await sessions.create({ user_id: 'ada' })
      await redis.stop()
      await expectOutage(sessions, session)
      await redis.start()
      expect((await loadedAgain(sessions, session.token))?.userId).toBe('ada')
      if (listener === 'with') expect(heard).not.toEqual([])
      await adapter.disconnect()
    })
  }

  test('calls that were on their way when the connection broke throw, though the adapter answers "not there"', async () => {
    const adapter = new KeyvRedis(redis.url)
    const keyv = new Keyv(adapter)
    keyv.on('error', () => {})
    await using sessions = new DefaultSessionService(keyv, OPTIONS)
    const { token } = await sessions.create({ user_id: 'ada' })
    redis.freeze()
    const answer = sessions.load(token).catch((reason: unknown) => reason)
    const plain = keyv.get('anything')
    await redis.crash()
    expect(await plain, 'what Keyv itself makes of it').toBeUndefined()
    expect(await answer).toBeInstanceOf(BackendUnavailableError)
    await adapter.disconnect(true)
    await redis.start()
  })

  test('a write that nobody waits for any more is not made when the store answers again', async () => {
    const adapter = new KeyvRedis(redis.url)
    const store = new KeyvSessionStorage(new Keyv(adapter), { timeoutMs: 300 })
    await using sessions = new DefaultSessionService(new Keyv({ store, serialization: false }), OPTIONS)
    const { token } = await sessions.create({ n: 0 })
    redis.freeze()
    const saves = await Promise.allSettled([1, 2, 3].map((n) => sessions.save(token, { n })))
    expect(saves.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    redis.thaw()
    // The first had begun, and may be made; the others had not.
    expect([0, 1]).toContain((await loadedAgain(sessions, token))?.data['n'])
    expect(await sessions.save(token, { n: 4 })).toBe(true)
    expect((await sessions.load(token))?.data).toEqual({ n: 4 })
    await adapter.disconnect()
  })

  test('connect() rejects while the server is away, without the password, and the process can go on', async () => {
    await redis.stop()
    const url = redis.url.replace('redis://', 'redis://:hunter2@')
    const error: unknown = await DefaultSessionService.connect(url).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(BackendUnavailableError)
    expect(String(error)).not.toContain('hunter2')
    await redis.start()
  })
})

describe('an adapter that hides its failures', () => {
  /** What several official adapters do: say it in an event, then answer as if there were nothing. */
  class HidingAdapter extends KeyvRedis<unknown> {
    isDown = false
    override async get(key: string) {
      if (!this.isDown) return undefined
      await Promise.resolve()
      this.emit('error', new Error(`cannot read ${key.length} characters`))
      return undefined
    }
    override async set() {
      return !this.isDown
    }
    override async delete() {
      return false
    }
  }

  test('is believed when it says "not there", and not when it said an error before', async () => {
    const adapter = new HidingAdapter()
    const keyv = new Keyv(adapter)
    const sessions = new DefaultSessionService(keyv, OPTIONS)
    expect(await sessions.load('token')).toBeUndefined()
    adapter.isDown = true
    await expect(sessions.load('token')).rejects.toBeInstanceOf(BackendUnavailableError)
    await expect(sessions.destroy('token')).rejects.toBeInstanceOf(BackendUnavailableError)
    adapter.isDown = false
    expect(await sessions.load('token')).toBeUndefined()
    await sessions.close()
  })
})
