import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import KeyvRedis from '@keyv/redis'
import { Keyv } from 'keyv'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DefaultSessionService } from '../../../src/index.ts'
import { startRedis, type TestRedis } from '../../support/redis.ts'

/* What holds between processes, though Redis behind Keyv has no compare-and-set: the tombstone is an entry of its own. */
describe('two processes on one Redis', () => {
  let redis: TestRedis

  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis.close())

  test('an ended session stays ended while another process writes it without pause', async () => {
    await using sessions = await DefaultSessionService.connect(redis.url, { pruneIntervalMs: 0 })
    const adapter = new KeyvRedis(redis.url)
    const entries = new Keyv(adapter)
    const ENDINGS = ['destroy', 'revoke', 'clearSessionsForUser', 'rotate', 'clearAllSessions'] as const
    for (const ending of ENDINGS) {
      const { token, id } = await sessions.create({ user_id: 'ada' })
      const file = join(import.meta.dirname, 'other-process.ts')
      const other = spawn(process.execPath, [file, redis.url, token], { stdio: ['pipe', 'pipe', 'inherit'] })
      const exited = once(other, 'exit')
      await once(other.stdout, 'data')
      while ((await sessions.load(token))?.data['seen'] !== true) await sessions.ping()
      if (ending === 'destroy') await sessions.destroy(token)
      if (ending === 'revoke') await sessions.revoke(id)
      if (ending === 'clearSessionsForUser') await sessions.clearSessionsForUser('ada')
      if (ending === 'rotate') await sessions.rotate(token)
      if (ending === 'clearAllSessions') await sessions.clearAllSessions()
      for (let look = 0; look < 50; look++) expect(await sessions.load(token), ending).toBeUndefined()
      other.stdin.end()
      expect(await exited).toEqual([0, null])
      expect(await sessions.load(token), ending).toBeUndefined()
      // Nothing is left behind that would come to life when the tombstone runs out.
      expect(String(await entries.get(`session/sessions/${id}`)), ending).not.toContain('user')
      expect(await sessions.put(token, {}, { ifMissing: 'insert' })).toBe('ended')
      await sessions.clearAllSessions()
      expect(await sessions.countSessions()).toBe(0)
    }
    await adapter.disconnect()
  })
})
