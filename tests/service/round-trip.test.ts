import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DefaultSessionService } from '../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'

/** Any text at all: NUL, lone surrogates, quotes, emoji, and what looks like escapes. */
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)) }),
  fc.constantFrom('', '\0', ':', '__proto__', 'constructor', 'toString', "'", '"', '\\', '\ud800', '🦉')
)

/** -0 is left out: JSON writes it as 0, and both are equal. */
const number = fc
  .oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer())
  .map((value) => value + 0)

const { value: json } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    number,
    text,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(text, tie('value'), { maxKeys: 4, noNullPrototype: true })
  )
}))

describe('any JSON comes back equal, with its keys in order, and indexed by any sound user id', () => {
  let database: TestDatabase

  beforeAll(async () => {
    database = await createTestDatabase()
  })

  afterAll(() => database.drop())

  test.each(['SQLite', 'PostgreSQL'])('on %s', async (backend) => {
    const url = backend === 'SQLite' ? 'sqlite::memory:' : database.url
    await using sessions = await DefaultSessionService.connect(url, {
      userIdOf: ({ by }) => by as string | null
    })
    const userId = fc.option(
      text.filter((id) => id !== '' && id.isWellFormed() && !id.includes('\0')),
      { nil: null }
    )
    await fc.assert(
      fc.asyncProperty(json, json, userId, async (first, second, by) => {
        const created = await sessions.create({ by, value: first })
        expect(created.userId).toBe(by)
        const loaded = await sessions.load(created.token)
        const saved = await sessions.save(created.token, { value: second, by })
        const again = await sessions.load(created.token)
        if (by !== null) expect(await sessions.getSessionIdsForUser(by)).toContain(created.id)
        return (
          saved &&
          isDeepStrictEqual(loaded?.data, { by, value: first }) &&
          JSON.stringify(loaded?.data) === JSON.stringify({ by, value: first }) &&
          JSON.stringify(again?.data) === JSON.stringify({ value: second, by })
        )
      }),
      { numRuns: 300 }
    )
  })
})
