import assert from 'node:assert/strict'
import { collect, type Harness, present, rejectsWith } from './subject.ts'

const AWKWARD: Record<string, unknown> = {
  NUL: 'a\u0000b',
  'a lone surrogate': '\ud800',
  'an empty string': '',
  'what Keyv escapes': [':colon', '::', ':base64:AAAA', ':bigint:7', '$date'],
  'a million characters': 'ä'.repeat(300_000) + 'x'.repeat(400_000),
  'line separators and emoji': '\u2028\u2029 👩‍👩‍👧 \ufeff',
  numbers: [0, 1.5, -7, 1e308, 5e-324, Number.MAX_SAFE_INTEGER, 2 ** 70],
  nesting: { a: [{ b: [[], {}, [null]] }], c: null, d: true, e: false },
  'keys out of order': { z: 1, a: 2, m: { y: 1, b: 2 } },
  'keys that look like SQL': { "'; drop table sessions; --": '"\\\'' }
}

export function dataContract(contract: Harness): void {
  contract.describe('data', () => {
    for (const [name, value] of Object.entries(AWKWARD)) {
      contract.test(`comes back as it was: ${name}`, async (store) => {
        const sessions = await store.connect({ maxDataBytes: 4 * 1024 * 1024 })
        const data = { value }
        const { token } = await sessions.create(data)
        const loaded = present(await sessions.load(token)).data
        assert.deepEqual(loaded, data)
        assert.equal(JSON.stringify(loaded), JSON.stringify(data), 'the order of keys too')
        await sessions.save(token, data)
        assert.equal(JSON.stringify(present(await sessions.load(token)).data), JSON.stringify(data))
        const rotated = present(await sessions.rotate(token))
        assert.equal(JSON.stringify(rotated.data), JSON.stringify(data))
        assert.equal(JSON.stringify(present(await sessions.load(rotated.token)).data), JSON.stringify(data))
      })
    }

    contract.test('comes back as it was: __proto__ as a key of its own', async (store) => {
      const sessions = await store.connect()
      const data = JSON.parse(
        '{"__proto__":{"admin":true},"constructor":{"prototype":1},"nested":{"__proto__":7}}'
      )
      const { token } = await sessions.create(data)
      const loaded = present(await sessions.load(token)).data
      assert.equal(JSON.stringify(loaded), JSON.stringify(data))
      assert.equal((loaded as { admin?: boolean }).admin, undefined)
      const updated = present(await sessions.update(token, (draft) => ({ ...draft, n: 1 })))
      assert.equal(JSON.stringify(updated.data), `${JSON.stringify(data).slice(0, -1)},"n":1}`)
    })

    contract.test('a property that is undefined is left out', async (store) => {
      const sessions = await store.connect()
      const { token, data } = await sessions.create({ a: undefined, b: 1 })
      assert.deepEqual(Object.keys(data), ['b'])
      assert.deepEqual(Object.keys(present(await sessions.load(token)).data), ['b'])
    })

    const cyclic: Record<string, unknown> = {}
    cyclic['self'] = cyclic
    let deep: unknown = 1
    for (let level = 0; level < 100_000; level++) deep = [deep]
    const refused: Record<string, unknown> = {
      'a bigint': { n: 7n },
      'a function': { f: () => undefined },
      'a symbol': { s: Symbol('s') },
      NaN: { n: Number.NaN },
      Infinity: { n: [1, Number.POSITIVE_INFINITY] },
      'undefined in an array': { list: [1, undefined] },
      'a hole in an array': { list: new Array(1) },
      'a Date': { at: new Date(0) },
      'a Map': { map: new Map() },
      'a Set': { set: new Set() },
      'a Buffer': { bytes: Buffer.from('x') },
      'a RegExp': { re: /x/ },
      'an instance of a class': { user: new (class User {})() },
      'a cycle': cyclic,
      'what is nested too deeply': { deep },
      'an array': [1],
      null: null,
      'a string': 'data',
      'a number': 1,
      undefined
    }
    for (const [name, data] of Object.entries(refused)) {
      contract.test(`refuses ${name} before anything is written`, async (store) => {
        const sessions = await store.connect()
        const bad = data as Record<string, unknown>
        await rejectsWith('SESSION_DATA', sessions.create(bad))
        const { token } = await sessions.create({ user_id: 'ada' })
        await rejectsWith('SESSION_DATA', sessions.save(token, bad))
        if (data !== undefined) {
          await rejectsWith('SESSION_DATA', sessions.rotate(token, bad))
          // A change that returns nothing keeps its draft; null stands for nothing too.
          if (data !== null)
            await rejectsWith(
              'SESSION_DATA',
              sessions.update(token, () => bad)
            )
        }
        assert.deepEqual(present(await sessions.load(token)).data, { user_id: 'ada' })
        assert.equal(await store.countRows(), 1)
      })
    }

    contract.test('names the place of what it refuses, and no value', async (store) => {
      const sessions = await store.connect()
      const data = { user: { cards: [{ number: 'sekrit', since: new Date(0) }] } }
      const error = await rejectsWith(
        'SESSION_DATA',
        sessions.create(data),
        /data\.user\.cards\[0\]\.since is a Date/
      )
      assert.ok(!error.message.includes('sekrit'))
    })

    contract.test('refuses more than maxDataBytes of UTF-8, and takes just as much', async (store) => {
      const sessions = await store.connect({ maxDataBytes: 1000 })
      const overhead = JSON.stringify({ text: '' }).length
      const fits = { text: 'é'.repeat((1000 - overhead) / 2) }
      const { token } = await sessions.create(fits)
      assert.deepEqual(present(await sessions.load(token)).data, fits)
      await rejectsWith('SESSION_DATA', sessions.create({ text: `${fits.text}é` }), /maxDataBytes/)
      await rejectsWith('SESSION_DATA', sessions.put('t', { text: `${fits.text}é` }, { ifMissing: 'insert' }))
      assert.equal(await sessions.countSessions(), 1)
    })

    contract.test('put follows the JSON rules of frameworks', async (store) => {
      const sessions = await store.connect()
      class Cart {
        items = ['tea']
      }
      const data = { at: new Date(0), cart: new Cart(), cookie: { toJSON: () => ({ path: '/' }) } }
      // As a framework passes it on: what has no index signature in its type.
      await sessions.put('t', data as unknown as Record<string, unknown>, { ifMissing: 'insert' })
      assert.deepEqual(present(await sessions.load('t')).data, {
        at: '1970-01-01T00:00:00.000Z',
        cart: { items: ['tea'] },
        cookie: { path: '/' }
      })
      await rejectsWith('SESSION_DATA', sessions.put('t', { map: new Map() }, { ifMissing: 'insert' }))
    })

    contract.test(
      "a row that cannot be read fails load and update, and stands in nobody's way",
      async (store) => {
        const sessions = await store.connect()
        const broken = await sessions.create({ user_id: 'ada' })
        const sound = await sessions.create({ user_id: 'ada', n: 1 })
        await store.corrupt(broken.id)
        await rejectsWith('SESSION_DATA', sessions.load(broken.token), new RegExp(broken.id))
        await rejectsWith(
          'SESSION_DATA',
          sessions.update(broken.token, () => ({}))
        )
        const listed = await sessions.listSessionsForUser('ada')
        assert.deepEqual(
          new Map(listed.map(({ id, data }) => [id, data])),
          new Map<string, unknown>([
            [broken.id, undefined],
            [sound.id, sound.data]
          ])
        )
        assert.equal((await collect(sessions.dumpAllSessions())).length, 2)
        assert.equal(await sessions.touch(broken.token), true)
        assert.equal(await sessions.save(broken.token, { user_id: 'ada', mended: true }), true)
        assert.deepEqual(present(await sessions.load(broken.token)).data, { user_id: 'ada', mended: true })
        await store.corrupt(broken.id)
        assert.equal(await sessions.destroy(broken.token), true)
        await store.corrupt(sound.id)
        assert.equal(await sessions.revoke(sound.id, { userId: 'ada' }), true)
        const another = await sessions.create({ user_id: 'ada' })
        await store.corrupt(another.id)
        assert.equal(await sessions.clearSessionsForUser('ada'), 1)
      }
    )
  })
}
