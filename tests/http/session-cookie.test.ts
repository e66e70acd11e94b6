import { describe, expect, test } from 'vitest'
import { SessionCookie, type SessionCookieOptions } from '../../src/http/session-cookie.ts'
import { ConfigurationError } from '../../src/index.ts'

describe('options that a browser would refuse without a word are errors with the cure', () => {
  const refused: Array<[SessionCookieOptions, RegExp]> = [
    [{ prefix: '__Host-', secure: false }, /__Host- needs secure: true/],
    [{ prefix: '__Secure-', secure: false }, /__Secure- needs secure: true/],
    [{ name: '__host-sid', secure: false }, /__Host- needs secure: true/],
    [{ prefix: '__Host-', path: '/app' }, /__Host- needs path: '\/' and no domain/],
    [{ prefix: '__Host-', domain: 'example.org' }, /__Host- needs path: '\/' and no domain/],
    [{ sameSite: 'none', secure: false }, /sameSite: 'none' needs secure: true/],
    [{ partitioned: true, secure: false }, /partitioned needs secure: true/],
    [{ name: 'a b' }, /name must be/],
    [{ name: 'a=b' }, /name must be/],
    [{ name: '' }, /name must be/],
    [{ path: 'app' }, /path must be a path that starts with '\/'/],
    [{ path: '/a;b' }, /path must be/],
    [{ domain: 'exa mple.org' }, /domain must be a domain name/],
    [{ domain: 'example.org; Secure' }, /domain must be a domain name/]
  ]

  test.each(refused)('%j', (options, message) => {
    expect(() => new SessionCookie(options)).toThrow(ConfigurationError)
    expect(() => new SessionCookie(options)).toThrow(message)
  })

  test('an unknown option is named, with those that there are', () => {
    const options: object = { maxAge: 1 }
    expect(() => new SessionCookie(options)).toThrow(
      'Unknown option maxAge. Known options: name, secure, sameSite, path, domain, prefix, partitioned.'
    )
  })
})

describe('the name', () => {
  test('is used as it is given, behind the prefix, which is not doubled', () => {
    expect(new SessionCookie(undefined).name).toBe('bodhiapp_session_id')
    expect(new SessionCookie({ name: 'Sid' }).name).toBe('Sid')
    expect(new SessionCookie({ name: 'Sid', prefix: '__Host-' }).name).toBe('__Host-Sid')
    expect(new SessionCookie({ name: '__Host-Sid', prefix: '__Host-' }).name).toBe('__Host-Sid')
  })
})

describe('reading', () => {
  const cookie = new SessionCookie({ name: 'sid' })

  test.each([
    ['sid=abc', 'abc'],
    ['a=1; sid=abc; b=2', 'abc'],
    ['a=1;sid=abc;b=2', 'abc'],
    [' \tsid = abc\t ', 'abc'],
    ['sid=a=b=', 'a=b='],
    ['sid="abc"', '"abc"'],
    ['sid=%41', '%41']
  ])('%j has the value %j', (header, value) => {
    expect(cookie.read(header)).toEqual({ isPresent: true, value })
  })

  test.each([
    null,
    undefined,
    '',
    'sid',
    'SID=abc',
    'xsid=abc',
    'a=sid=abc',
    '\u00a0sid=abc',
    '\u2003sid=abc'
  ])('%j does not have it', (header) => {
    expect(cookie.read(header)).toEqual({ isPresent: false, value: undefined })
  })

  test.each(['sid=a; sid=b', 'sid=a; sid=a', 'sid=; x=1; sid=a'])(
    '%j has no value, since it has two',
    (header) => {
      expect(cookie.read(header)).toEqual({ isPresent: true, value: undefined })
      expect(cookie.isAmbiguousIn(header)).toBe(true)
    }
  )
})

test('is cleared with the attributes with which it was set', () => {
  const cookie = new SessionCookie({
    name: 'sid',
    domain: 'example.org',
    path: '/app',
    sameSite: 'none',
    partitioned: true
  })
  const attributes = '; Path=/app; Domain=example.org; HttpOnly; Secure; Partitioned; SameSite=None'
  expect(cookie.serialise('token', 1_500)).toBe(`sid=token; Max-Age=2${attributes}`)
  expect(cookie.serialiseCleared()).toBe(
    `sid=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT${attributes}`
  )
})
