import assert from 'node:assert/strict'
import { DEFAULT_COOKIE_NAME } from '../../http/session-cookie.ts'
import { ADA, type AdapterTests, lasting, ok, sessionCookie, site, userIn, VISITOR } from './adapter-stage.ts'
import { DAY, HOUR } from './subject.ts'

export const LIFE: AdapterTests = [
  [
    'a sign-in changes the token, kills the old one and indexes the user',
    async ({ sessions, serve }) => {
      const browser = await serve(site)
      await ok(browser.get('/write'))
      const before = browser.cookieHeader
      const answer = await ok(browser.get('/sign-in'))
      assert.equal(answer.headers['cache-control'], 'no-store')
      assert.notEqual(browser.cookieHeader, before)
      assert.equal(await sessions.countSessionsForUser('ada'), 1)
      assert.equal(await sessions.countSessions(), 1)
      assert.equal(userIn(await ok(browser.get('/'))), 'ada')
      assert.deepEqual((await ok(browser.send('/', before))).body, VISITOR)
    }
  ],
  [
    'a sign-out ends the session and clears the cookie with its own attributes',
    async ({ sessions, serve }) => {
      const browser = await serve(site)
      const made = sessionCookie(await ok(browser.get('/sign-in')), DEFAULT_COOKIE_NAME)
      const before = browser.cookieHeader
      const answer = await ok(browser.get('/sign-out'))
      const cleared = sessionCookie(answer, DEFAULT_COOKIE_NAME)
      assert.equal(cleared.value, '')
      assert.ok(cleared.livesMs !== undefined && cleared.livesMs <= 0)
      assert.deepEqual(lasting(cleared), lasting(made))
      assert.equal(answer.headers['cache-control'], 'no-store')
      assert.equal(browser.cookieHeader, '')
      assert.equal(await sessions.countSessions(), 0)
      assert.deepEqual((await ok(browser.send('/', before))).body, VISITOR)
    }
  ],
  [
    '"sign out everywhere" reaches a session that is in use',
    async ({ store, serve }) => {
      const browser = await serve(site)
      await ok(browser.get('/sign-in'))
      assert.deepEqual((await ok(browser.get('/'))).body, ADA)
      const otherNode = await store.connect()
      assert.equal(await otherNode.clearSessionsForUser('ada'), 1)
      assert.deepEqual((await ok(browser.get('/'))).body, VISITOR)
      assert.equal(await otherNode.countSessions(), 0)
    }
  ],
  [
    'every use extends the idle timeout, and without one the session is over',
    async ({ store, serve }) => {
      const browser = await serve(site)
      await ok(browser.get('/sign-in'))
      for (let day = 0; day < 3; day++) {
        await store.age(23 * HOUR)
        assert.deepEqual((await ok(browser.get('/'))).body, ADA)
      }
      await store.age(DAY)
      assert.deepEqual((await ok(browser.get('/'))).body, VISITOR)
    }
  ],
  [
    'no use extends the absolute timeout',
    async ({ store, serve }) => {
      const browser = await serve(site)
      await ok(browser.get('/sign-in'))
      for (let hours = 0; hours + 20 < 30 * 24; hours += 20) {
        await store.age(20 * HOUR)
        assert.equal(userIn(await ok(browser.get('/'))), 'ada', `after ${hours + 20} hours`)
        await ok(browser.get('/write'))
      }
      await store.age(20 * HOUR)
      assert.deepEqual((await ok(browser.get('/'))).body, VISITOR)
    }
  ]
]
