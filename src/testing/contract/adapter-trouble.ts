import assert from 'node:assert/strict'
import { DEFAULT_COOKIE_NAME } from '../../http/session-cookie.ts'
import { ADA, type AdapterTests, ok, sessionCookie, site, VISITOR } from './adapter-stage.ts'

/** For adapters that save before the headers are sent. */
export const SAVING: AdapterTests = [
  [
    'a first write that the store refuses is a 5xx, without a cookie for a session that is not there',
    async ({ store, serve }) => {
      const browser = await serve(site)
      const repair = await store.breakDown()
      const answer = await browser.get('/write').finally(repair)
      assert.ok(answer.status >= 500, `status ${answer.status}`)
      assert.deepEqual(answer.cookies, [])
      assert.equal(await store.countRows(), 0)
    }
  ]
]

export const TROUBLE: AdapterTests = [
  [
    'a store that fails is a 5xx, and nobody is signed out by it',
    async ({ store, serve }) => {
      const browser = await serve(site)
      await ok(browser.get('/sign-in'))
      const repair = await store.breakDown()
      try {
        for (const path of ['/', '/write']) {
          const answer = await browser.get(path)
          assert.ok(answer.status >= 500, `${path}: status ${answer.status}`)
          assert.deepEqual(answer.cookies, [])
        }
      } finally {
        await repair()
      }
      assert.deepEqual((await ok(browser.get('/'))).body, ADA)
    }
  ],
  [
    'a handler that fails is a 500, and the next request has its session',
    async ({ serve }) => {
      const browser = await serve(site)
      await ok(browser.get('/sign-in'))
      assert.equal((await browser.get('/fail')).status, 500)
      assert.deepEqual((await ok(browser.get('/'))).body, ADA)
    }
  ],
  [
    'forged, malformed, huge and duplicate cookies are strangers, and leave no row',
    async ({ store, serve }) => {
      const browser = await serve(site)
      await ok(browser.get('/sign-in'))
      const [name = '', value = ''] = browser.cookieHeader.split(/=(.*)/s)
      const forged = value.replace(/[A-Za-z]/, (letter) => (letter === 'A' ? 'B' : 'A'))
      const headers = [
        `${name}=${forged}`,
        `${name}=${'A'.repeat(43)}`,
        `${name}=${value.slice(0, -1)}`,
        `${name}=${value}x`,
        `${name}="${forged}"`,
        `${name}=`,
        `${name}`,
        `${name}=%E0%A4%A`,
        `${name}=%00${value}`,
        `${name}=${'A'.repeat(8_000)}`,
        `${name}=; ${name}=`,
        `${name.toUpperCase()}=${value}`,
        `\u00a0${name}=${value}`,
        `${name}=${value}; ${name}=${value}`,
        `${name}=${value}; ${name}=${forged}`,
        `${name}=${forged}; other=1; ${name}=${value}`
      ]
      const rows = await store.countRows()
      for (const header of headers) {
        const shown = header.slice(0, 80).replaceAll(value, '<token>')
        const answer = await browser.send('/', header)
        assert.equal(answer.status, 200, shown)
        assert.deepEqual(answer.body, VISITOR, shown)
      }
      assert.equal(await store.countRows(), rows)
      assert.deepEqual((await ok(browser.get('/'))).body, ADA)
    }
  ],
  [
    'a token from outside is never adopted: whoever writes gets one of ours',
    async ({ serve }) => {
      const browser = await serve(site)
      const planted = 'P'.repeat(43)
      const answer = await ok(browser.send('/write', `${DEFAULT_COOKIE_NAME}=${planted}`))
      assert.ok(!sessionCookie(answer, DEFAULT_COOKIE_NAME).value.includes(planted))
      assert.deepEqual((await ok(browser.send('/', `${DEFAULT_COOKIE_NAME}=${planted}`))).body, VISITOR)
    }
  ]
]
