import session from 'express-session'
import { expect, test } from 'vitest'
import { idleTimeoutOf } from '../../src/frameworks/express-cookie.ts'

const { Cookie } = session

test.each([
  ['what was set', 60_000, 60_000],
  ['what the clock took a millisecond of', 59_999, 60_000],
  ['what it took some more of', 59_991, 60_000],
  ['what cannot be its doing', 59_989, 59_989],
  ['less than a second', 250, 250],
  ['what has run out', 0, 0]
])('a maxAge that is %s (%d ms) is an idle timeout of %d ms', (_, originalMaxAge, expected) => {
  const cookie = new Cookie()
  cookie.maxAge = originalMaxAge
  cookie.originalMaxAge = originalMaxAge // the setter asks the clock twice, as express-session's touch does
  expect(idleTimeoutOf(cookie)).toBe(expected)
})

test('a cookie without an expiry asks for no idle timeout', () => {
  expect(idleTimeoutOf(new Cookie())).toBeNull()
})
