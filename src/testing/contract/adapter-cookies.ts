import assert from 'node:assert/strict'
import { DEFAULT_COOKIE_NAME } from '../../http/session-cookie.ts'
import { ADA, type AdapterTests, checkAttributes, ok, sessionCookie, site } from './adapter-stage.ts'
import { Browser } from './browser.ts'
import { DAY, HOUR } from './subject.ts'

export const COOKIES: AdapterTests = [
  [
    'a visitor gets no cookie and costs no row',
    async ({ store, serve }) => {
      const browser = await serve(site)
      for (const path of ['/', '/plain']) {
        const answer = await ok(browser.get(path))
        assert.deepEqual(answer.cookies, [])
      }
      assert.equal(await store.countRows(), 0)
    }
  ],
  [
    'the cookie goes out with the first write, for this host and HTTPS only, out of the reach of scripts and other sites',
    async ({ serve }) => {
      const browser = await serve(site)
      const answer = await ok(browser.get('/write'))
      const cookie = sessionCookie(answer, DEFAULT_COOKIE_NAME)
      assert.ok(cookie.value.length >= 43)
      checkAttributes(cookie, { path: '/', httponly: '', secure: '', samesite: 'strict' })
      assert.equal(answer.headers['cache-control'], 'no-store')
      assert.deepEqual((await ok(browser.get('/'))).body, { user: null, written: { b: 1, a: [2, 'zwei'] } })
    }
  ],
  [
    'the cookie lives until the absolute timeout',
    async ({ serve }) => {
      const { livesMs = 0 } = sessionCookie(await ok((await serve(site)).get('/write')), DEFAULT_COOKIE_NAME)
      assert.ok(livesMs > 29 * DAY && livesMs <= 30 * DAY + HOUR, `${livesMs} ms`)
    }
  ],
  [
    'a request that changes nothing gets no cookie again, and may be cached',
    async ({ serve }) => {
      const browser = await serve(site)
      await ok(browser.get('/sign-in'))
      for (const path of ['/', '/plain', '/']) {
        const answer = await ok(browser.get(path))
        assert.deepEqual(answer.cookies, [])
        assert.notEqual(answer.headers['cache-control'], 'no-store')
      }
    }
  ],
  [
    'a prefix, a name and attributes of the application are used as they are given',
    async ({ serve }) => {
      const browser = await serve(site, { name: 'Sid', prefix: '__Host-', sameSite: 'lax' })
      const made = sessionCookie(await ok(browser.get('/sign-in')), '__Host-Sid')
      checkAttributes(made, { path: '/', httponly: '', secure: '', samesite: 'lax' })
      assert.deepEqual((await ok(browser.get('/'))).body, ADA)
      const cleared = sessionCookie(await ok(browser.get('/sign-out')), '__Host-Sid')
      checkAttributes(cleared, { path: '/', httponly: '', secure: '', samesite: 'lax' })
    }
  ],
  [
    'with secure: false the cookie goes over plain HTTP',
    async ({ serve }) => {
      const { origin } = await serve(site, { secure: false })
      const browser = new Browser(origin, {})
      const cookie = sessionCookie(await ok(browser.get('/sign-in')), DEFAULT_COOKIE_NAME)
      assert.equal(cookie.attributes.has('secure'), false)
      assert.deepEqual((await ok(browser.get('/'))).body, ADA)
    }
  ]
]
