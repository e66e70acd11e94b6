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

test.each([
  ['\\', '\n'],
  ['\\', '"'],
  ['\\', '\0'],
  ['\\', '\ud800'],
  ['\\\\', '\\u'],
  ['name\\', 'name\n'],
  ['name\\n', 'name\n!']
])('a session with the key %j changes no other that has the key %j', async (earlier, key) => {
  await roundTrip({ list: [], [earlier]: 1 })
  const data = { list: ['"x":1', { [key]: { [key]: null } }], [key]: 'a "quoted" text:', end: true }
  const loaded = await roundTrip(data)
  expect(loaded).toStrictEqual(data)
  expect(JSON.stringify(loaded)).toBe(JSON.stringify(data))
})

test('keys with and without escapes keep their order beside each other, and __proto__ is one of them', async () => {
  const text = '{"list":[],"\\\\":1,"\\n":{"__proto__":{"\\"":2}},"z":3,"a":4,"":5}'
  await roundTrip({ list: [], '\\': 1 })
  await roundTrip({ list: [], '\\': 1, '\\\\': {} })
  await roundTrip({ '\\': 1 })
  const data: Record<string, unknown> = {
    list: [],
    '\\': 1,
    '\n': JSON.parse('{"__proto__":{"\\"":2}}'),
    z: 3,
    a: 4,
    '': 5
  }
  expect(JSON.stringify(data)).toBe(text)
  expect(JSON.stringify(await roundTrip(data))).toBe(text)
})
