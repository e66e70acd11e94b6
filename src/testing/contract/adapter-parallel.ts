import assert from 'node:assert/strict'
import { type AdapterTests, Gate, ok, site, userIn, VISITOR } from './adapter-stage.ts'

export const PARALLEL: AdapterTests = [
  [
    'a request that outlives the sign-out of its session brings nothing back',
    async ({ sessions, serve }) => {
      const gate = new Gate()
      const browser = await serve(async (session, path) => {
        if (path !== '/slow') return site(session, path)
        session.data['seen'] = session.data['user_id']
        await gate.pass()
        session.data['late'] = true
        return 'late'
      })
      await ok(browser.get('/sign-in'))
      const cookie = browser.cookieHeader
      const slow = browser.send('/slow', cookie)
      await gate.reached
      await ok(browser.get('/sign-out'))
      gate.open()
      const answer = await slow
      assert.ok(answer.status < 500, `status ${answer.status}`)
      assert.equal(await sessions.countSessions(), 0)
      assert.deepEqual((await ok(browser.send('/', cookie))).body, VISITOR)
    }
  ],
  [
    'a request that is in flight while its session is rotated does not take the new cookie away',
    async ({ serve }) => {
      const gate = new Gate()
      const browser = await serve(async (session, path) => {
        if (path !== '/slow') return site(session, path)
        assert.notEqual(session.data, undefined)
        await gate.pass()
        return 'late'
      })
      await ok(browser.get('/write'))
      const old = browser.cookieHeader
      const slow = browser.send('/slow', old)
      await gate.reached
      await ok(browser.get('/sign-in'))
      gate.open()
      assert.deepEqual((await slow).cookies, [])
      // One that starts with the old cookie, because the new one is still on its way to the browser.
      assert.deepEqual((await ok(browser.send('/', old))).cookies, [])
      assert.equal(userIn(await ok(browser.get('/'))), 'ada')
    }
  ],
  [
    'a request that changes nothing undoes nothing',
    async ({ sessions, serve }) => {
      const gate = new Gate()
      const browser = await serve(async (session, path) => {
        if (path !== '/slow') return site(session, path)
        const user = session.data['user_id']
        await gate.pass()
        return user
      })
      await ok(browser.get('/sign-in'))
      const slow = browser.get('/slow')
      await gate.reached
      await ok(browser.clone().get('/write'))
      gate.open()
      await ok(slow)
      const [session] = await sessions.listSessionsForUser('ada')
      assert.deepEqual(session?.data?.['written'], { b: 1, a: [2, 'zwei'] })
    }
  ]
]

/** For adapters that commit key by key. */
export const MERGING: AdapterTests = [
  [
    'parallel requests that change different keys keep all changes',
    async ({ sessions, serve }) => {
      const gate = new Gate(10)
      const browser = await serve(async (session, path) => {
        if (!path.startsWith('/key/')) return site(session, path)
        session.data[path.slice('/key/'.length)] = path
        await gate.pass()
        return path
      })
      await ok(browser.get('/sign-in'))
      const requests = Array.from({ length: 10 }, (_, index) => browser.get(`/key/${index}`))
      await gate.reached
      gate.open()
      for (const request of requests) await ok(request)
      const [session] = await sessions.listSessionsForUser('ada')
      for (let index = 0; index < 10; index++) assert.equal(session?.data?.[index], `/key/${index}`)
    }
  ]
]
