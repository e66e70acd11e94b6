import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { KeyvSqlite } from '@keyv/sqlite'
import { Keyv } from 'keyv'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { KeyvSessionStorage } from '../../../src/backends/keyv/adapter.ts'
import { ConfigurationError, DataError, DefaultSessionService } from '../../../src/index.ts'
import { createTestSessions, FakeClock } from '../../../src/testing/index.ts'
import { startRedis, type TestRedis } from '../../support/redis.ts'

function onMap(map: Map<string, unknown> = new Map()): DefaultSessionService {
  return new DefaultSessionService(new Keyv(map), { pruneIntervalMs: 0 })
}

describe('a service over a plain Keyv', () => {
  test('says what it cannot promise, where a database promises all', async () => {
    await using plain = onMap()
    expect(plain.guarantees).toEqual({
      endedStaysEnded: 'cluster',
      atomicUpdate: 'process',
      atomicRotation: 'process',
      userIndex: 'process',
      clock: 'process',
      listing: true
    })
    await using test = await createTestSessions()
    expect(test.sessions.guarantees).toEqual({
      endedStaysEnded: 'cluster',
      atomicUpdate: 'cluster',
      atomicRotation: 'cluster',
      userIndex: 'cluster',
      clock: 'process',
      listing: true
    })
  })

  test('leaves the Keyv open when it is closed', async () => {
    const adapter = new KeyvSqlite({ uri: 'sqlite://:memory:', driver: 'node:sqlite' })
    const keyv = new Keyv(adapter)
    const sessions = new DefaultSessionService(keyv, { pruneIntervalMs: 0 })
    await sessions.create({ user_id: 'ada' })
    await sessions.close()
    expect(await keyv.set('own', 'value')).toBe(true)
    expect(await keyv.get('own')).toBe('value')
    await adapter.disconnect()
  })

  test("keeps out of the way of the application's own keys, and of other namespaces", async () => {
    const map = new Map<string, unknown>()
    const keyv = new Keyv(map)
    await keyv.set('own', 'value')
    await using here = onMap(map)
    await using there = new DefaultSessionService(new Keyv(map), {
      namespace: 'überall / anders',
      pruneIntervalMs: 0
    })
    await here.create({ user_id: 'ada' })
    const other = await there.create({ user_id: 'ada' })
    expect(await here.clearAllSessions()).toBe(1)
    expect(await there.getSessionIdsForUser('ada')).toEqual([other.id])
    expect(await here.countSessionsForUser('ada')).toBe(0)
    expect(await keyv.get('own')).toBe('value')
  })

  test('stores no token, and no user id where it can be read without the session', async () => {
    const map = new Map<string, unknown>()
    await using sessions = onMap(map)
    const { token } = await sessions.create({ user_id: 'ada-lovelace' })
    expect(JSON.stringify([...map])).not.toContain(token)
    expect([...map.keys()].join()).not.toContain('ada-lovelace')
  })

  test("goes through the Keyv's encryption, and fails what does not decrypt", async () => {
    const map = new Map<string, unknown>()
    const encryptedWith = (key: Buffer) =>
      new Keyv({
        store: map,
        encryption: {
          encrypt(text: string) {
            const iv = randomBytes(12)
            const cipher = createCipheriv('aes-256-gcm', key, iv)
            const sealed = Buffer.concat([cipher.update(text), cipher.final()])
            return Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64')
          },
          decrypt(text: string) {
            const bytes = Buffer.from(text, 'base64')
            const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12))
            decipher.setAuthTag(bytes.subarray(12, 28))
            return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString()
          }
        }
      })
    await using sessions = new DefaultSessionService(encryptedWith(randomBytes(32)), { pruneIntervalMs: 0 })
    const { token, id } = await sessions.create({ secret: 'sekrit', text: ':base64:AAAA' })
    expect(JSON.stringify([...map])).not.toContain('sekrit')
    expect((await sessions.load(token))?.data).toEqual({ secret: 'sekrit', text: ':base64:AAAA' })
    await using wrong = new DefaultSessionService(encryptedWith(randomBytes(32)), { pruneIntervalMs: 0 })
    await expect(wrong.load(token)).rejects.toBeInstanceOf(DataError)
    await expect(wrong.put(token, {}, { ifMissing: 'insert' })).rejects.toBeInstanceOf(DataError)
    expect(await wrong.revoke(id), 'but it can be ended').toBe(true)
    expect(await sessions.load(token)).toBeUndefined()
  })

  test('works on a store that cannot list its entries, and says so where that is needed', async () => {
    const map = new Map<string, unknown>()
    const bare = {
      get: async (key: string) => map.get(key),
      set: async (key: string, value: unknown) => map.set(key, value),
      delete: async (key: string) => map.delete(key),
      clear: async () => map.clear()
    }
    await using sessions = new DefaultSessionService(new Keyv({ store: bare }), { pruneIntervalMs: 0 })
    expect(sessions.guarantees.listing).toBe(false)
    const { token } = await sessions.create({ user_id: 'ada' })
    await sessions.create({ user_id: 'ada' })
    expect(await sessions.countSessionsForUser('ada')).toBe(2)
    expect(await sessions.destroy(token)).toBe(true)
    expect(await sessions.clearSessionsForUser('ada')).toBe(1)
    for (const call of [
      () => sessions.countSessions(),
      () => sessions.clearAllSessions(),
      () => sessions.dumpAllSessions().next()
    ]) {
      await expect(call()).rejects.toThrow(/cannot list its entries/)
    }
    expect(await sessions.pruneExpired()).toBe(0)
  })

  test('an index that cannot be read fails a sign-out everywhere, which would else miss sessions', async () => {
    const map = new Map<string, unknown>()
    await using sessions = onMap(map)
    const { token } = await sessions.create({ user_id: 'ada' })
    await sessions.create({ user_id: 'ada' })
    const key = [...map.keys()].find((name) => name.startsWith('user/')) ?? ''
    await new Keyv(map).set(key, 'damaged')
    await expect(sessions.clearSessionsForUser('ada')).rejects.toBeInstanceOf(DataError)
    expect(await sessions.destroy(token), 'but keeps none from ending').toBe(true)
    expect(await sessions.clearAllSessions()).toBe(1)
  })

  test('a user with many expired sessions does not carry their ids for ever', async () => {
    const map = new Map<string, unknown>()
    const clock = new FakeClock()
    const store = new KeyvSessionStorage(new Keyv(map), { now: () => clock.now() })
    await using sessions = new DefaultSessionService(new Keyv({ store, serialization: false }), {
      pruneIntervalMs: 0
    })
    const idsInIndex = () =>
      JSON.stringify([...map].filter(([key]) => key.startsWith('user/'))).match(/[\w-]{43}\\/g)
    for (let n = 0; n < 64; n++) {
      await sessions.put(`token-${n}`, { user_id: 'ada' }, { ifMissing: 'insert', idleTimeoutMs: 60_000 })
    }
    expect(idsInIndex()).toHaveLength(64)
    clock.advance(600_000)
    const { id } = await sessions.create({ user_id: 'ada' })
    expect(idsInIndex()).toHaveLength(1)
    expect(await sessions.getSessionIdsForUser('ada')).toEqual([id])
    expect(await sessions.pruneExpired()).toBe(64)
  })

  test('what is no Keyv is refused by name', () => {
    for (const wrong of [undefined, null, {}, 'redis://h', new Map()]) {
      expect(() => new DefaultSessionService(wrong as unknown as Keyv)).toThrow(ConfigurationError)
    }
  })
})

describe('connect() with the scheme of another Keyv adapter', () => {
  let redis: TestRedis

  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis.close())

  test('opens it with the adapter that is installed, and closes it', async () => {
    const sessions = await DefaultSessionService.connect(redis.url)
    const { token } = await sessions.create({ user_id: 'ada' })
    const same = await DefaultSessionService.connect(`${redis.url}/0`)
    expect((await same.load(token))?.userId).toBe('ada')
    await Promise.all([sessions.close(), same.close()])
    await expect(sessions.load(token)).rejects.toMatchObject({ code: 'SESSION_CLOSED' })
  })

  test.each([
    ['mysql://root@127.0.0.1/app', '@keyv/mysql'],
    ['mongodb://127.0.0.1/app', '@keyv/mongo'],
    ['memcache://127.0.0.1:11211', '@keyv/memcache'],
    ['etcd://127.0.0.1:2379', '@keyv/etcd'],
    ['valkey://127.0.0.1', '@keyv/valkey']
  ])('%s says to install %s', async (url, packageName) => {
    const error: unknown = await DefaultSessionService.connect(url).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(ConfigurationError)
    expect(String(error)).toContain(`npm install ${packageName}`)
  })

  test('is refused in a cluster', async () => {
    const env = { BODHI_DEPLOYMENT: 'cluster', BODHI_SESSION_DB_URL: redis.url }
    await expect(DefaultSessionService.fromEnv({ env })).rejects.toThrow(/needs a PostgreSQL store/)
  })
})
