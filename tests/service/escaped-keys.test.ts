import { afterAll, beforeAll, expect, test } from 'vitest'
import { DefaultSessionService } from '../../src/index.ts'

/* Guards against a fault of V8's JSON.parse (nodejs/node issue 63785), which Node 24 has. */

let sessions: DefaultSessionService

beforeAll(async () => {
  sessions = await DefaultSessionService.connect('sqlite::memory:')
})

afterAll(() => sessions.close())

async function roundTrip(data: Record<string, unknown>): Promise<unknown> {
  const { token } = await sessions.create(data)
  return (await sessions.load(token))?.data
}

// The fault shows in an object that ends with the key, after one that began in the same way: hence a beginning of its own
// for each case.
test.each([
  ['\\', '\n'],
  ['\\', '"'],
  ['\\', '\0'],
  ['\\', '\ud800'],
  ['\\\\', '\\u'],
  ['name\\', 'name\n'],
  ['name\\n', 'name\n!']
])('a session with the key %j changes no other that has the key %j', async (earlier, key) => {
  const first = `before ${encodeURIComponent(key.toWellFormed())}`
  await roundTrip({ [first]: 'an "x":', [earlier]: 1 })
  const data = { [first]: 'an "x":', [key]: [{ [key]: { [key]: null } }, '"x":1'] }
  const loaded = await roundTrip(data)
  expect(loaded).toStrictEqual(data)
  expect(JSON.stringify(loaded)).toBe(JSON.stringify(data))
})

test('all other keys of such data keep their order, and __proto__ is one of them', async () => {
  await roundTrip({ others: {}, '\\': 1 })
  const others: unknown = JSON.parse('{"z":1,"__proto__":{"\\"":[2]},"a":3,"":"\\\\","\\\\":5}')
  const data = { others, '\n': 1 }
  expect(JSON.stringify(await roundTrip(data))).toBe(JSON.stringify(data))
})
