import fc from 'fast-check'
import { parse as parsePg } from 'pg-connection-string'
import { describe, expect, it } from 'vitest'
import { parseConnectionUrl, redactUrl } from '../../src/config/connection-url.ts'
import { ConfigurationError } from '../../src/core/errors.ts'

function refusalOf(url: unknown): string {
  try {
    parseConnectionUrl(url as string) // what a caller without types may pass
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigurationError)
    // A cause is printed with the error, and the URL parser's holds the whole URL.
    expect(error).not.toHaveProperty('cause')
    return (error as Error).message
  }
  return expect.fail('the URL was accepted')
}

function pathOf(url: string | URL): string {
  const parsed = parseConnectionUrl(url)
  return parsed.backend === 'sqlite' ? parsed.path : expect.fail('not an SQLite URL')
}

/** The URL as the driver reads it. */
function driverSees(url: string | URL) {
  const parsed = parseConnectionUrl(url)
  return parsed.backend === 'postgres' ? parsePg(parsed.url) : expect.fail('not a PostgreSQL URL')
}

describe('SQLite URLs', () => {
  it.each([
    ['sqlite::memory:', ':memory:'],
    ['sqlite://:memory:', ':memory:'],
    ['sqlite:relative.db', 'relative.db'],
    ['sqlite://relative.db', 'relative.db'],
    ['sqlite:./data/relative.db', './data/relative.db'],
    ['sqlite:../up.db', '../up.db'],
    ['sqlite://data/relative.db', 'data/relative.db'],
    ['sqlite:/abs/path.db', '/abs/path.db'],
    ['sqlite:///abs/path.db', '/abs/path.db'],
    ['SQLite:/abs/Path.DB', '/abs/Path.DB'],
    ['SQLITE://Relative.db', 'Relative.db'],
    ['sqlite:C:\\data\\s.db', 'C:\\data\\s.db'],
    ['sqlite:c:/data/s.db', 'c:/data/s.db'],
    ['sqlite:///C:/data/s.db', 'C:/data/s.db'],
    ['sqlite://C:/data/s.db', 'C:/data/s.db'],
    ['sqlite:/with space/my data.db', '/with space/my data.db'],
    ['sqlite:what?.db', 'what?.db'],
    ['sqlite:///srv/a#1/b?c.db', '/srv/a#1/b?c.db'],
    ['sqlite:/100%/a%20b.db', '/100%/a%20b.db'],
    ['sqlite:/srv/données/会话.db', '/srv/données/会话.db'],
    ['sqlite:/srv/me@home/s.db', '/srv/me@home/s.db']
  ])('%s is the file %s', (url, path) => {
    expect(pathOf(url)).toBe(path)
  })

  it('takes every path as it stands', () => {
    const path = fc
      .string({ unit: 'binary', minLength: 1 })
      .filter(
        (text) =>
          text.isWellFormed() &&
          !/\0|^[/\\]|[/\\]$|\?(?:mode|cache|immutable|nolock|psow|vfs|key)=/.test(text)
      )
    fc.assert(
      fc.property(path, (text) => {
        expect(pathOf(`sqlite:${text}`)).toBe(text)
        expect(pathOf(`sqlite://${text}`)).toBe(text)
        if (!/^[a-z]:[/\\]/i.test(text)) {
          expect(pathOf(`sqlite:/${text}`)).toBe(`/${text}`)
          expect(pathOf(`sqlite:///${text}`)).toBe(`/${text}`)
        }
      })
    )
  })

  it('decodes a URL object, which has encoded what it was given', () => {
    expect(pathOf(new URL('sqlite:///my data/été.db'))).toBe('/my data/été.db')
    expect(pathOf(new URL('sqlite:/a%3Fb%23c%25.db'))).toBe('/a?b#c%.db')
    expect(pathOf(new URL('sqlite://relative.db'))).toBe('relative.db')
    expect(pathOf(new URL('sqlite::memory:'))).toBe(':memory:')
    expect(pathOf(new URL('SQLITE:///C:/s.db'))).toBe('C:/s.db')
  })

  it.each([
    ['sqlite:', 'names no file'],
    ['sqlite://', 'names no file'],
    ['sqlite:///', 'names a folder'],
    ['sqlite:data/', 'names a folder'],
    ['sqlite:C:\\data\\', 'names a folder'],
    ['sqlite:///:memory:', 'write sqlite::memory:'],
    ['sqlite:a\0b', 'NUL'],
    ['sqlite:a\ud800', 'lone surrogate'],
    ['sqlite:/srv/s.db?mode=rwc', 'has parameters'],
    ['sqlite:s.db?cache=shared&mode=memory', 'has parameters'],
    [new URL('sqlite:/a?b.db'), 'write %3F for ?'],
    [new URL('sqlite:/a#b.db'), '%23 for #'],
    [new URL('sqlite:/100%.db'), 'write %25 for %']
  ])('%s is refused: %s', (url, reason) => {
    expect(refusalOf(url)).toContain(reason)
  })
})

describe('PostgreSQL URLs', () => {
  it.each([
    ['postgres://u:p@h:5433/d', { user: 'u', password: 'p', host: 'h', port: '5433', database: 'd' }],
    ['PostgreSQL://u@h/D', { user: 'u', password: '', host: 'h', port: '', database: 'D' }],
    ['postgres://h/d', { user: '', host: 'h', database: 'd' }],
    ['postgres://u:p@[::1]:5432/d', { host: '::1', port: '5432' }],
    ['postgres:///d?host=/var/run/postgresql', { host: '/var/run/postgresql', database: 'd' }],
    [
      'postgres://u:p@/d?host=/var/run/postgresql',
      { user: 'u', password: 'p', host: '/var/run/postgresql', database: 'd' }
    ],
    ['postgres://u:p@/d?port=5433&host=/run', { host: '/run', port: '5433', database: 'd' }],
    ['postgres://u@%2Fvar%2Frun%2Fpostgresql/d', { host: '/var/run/postgresql', database: 'd' }],
    ['postgres://u:p%40%2F%3A%23%3F%25@h/d', { password: 'p@/:#?%' }],
    ['postgres://u:p@ss word@h/d', { user: 'u', password: 'p@ss word', host: 'h' }],
    ['postgres://u:a b%2Fc%4A@h/d', { password: 'a b/cJ' }],
    ['postgres://u:pä%C3%9F@h/données', { password: 'päß', database: 'données' }],
    ['postgres://h/d?sslmode=disable&application_name=a%26b', { ssl: false, application_name: 'a&b' }]
  ])('%s reaches the driver as it was meant', (url, expected) => {
    expect(driverSees(url)).toMatchObject(expected)
  })

  it('takes a URL object', () => {
    expect(driverSees(new URL('postgres://u:p@h:5432/d'))).toMatchObject({
      user: 'u',
      host: 'h',
      database: 'd'
    })
  })

  it('hands every encoded password to the driver unchanged', () => {
    const password = fc
      .string({ unit: 'binary', minLength: 1 })
      .filter((text) => text.isWellFormed() && !text.includes('\0'))
    fc.assert(
      fc.property(password, (text) => {
        expect(driverSees(`postgres://u:${encodeURIComponent(text)}@h/d`)).toMatchObject({
          user: 'u',
          password: text,
          host: 'h',
          database: 'd'
        })
      })
    )
  })

  it('hands a raw password to the driver unchanged, or refuses it', () => {
    fc.assert(
      fc.property(fc.string({ unit: trickyUnit, minLength: 1 }), (text) => {
        // A % with two digits after it is an escape, by intention or not.
        fc.pre(!/%[0-9a-f]{2}/i.test(text))
        try {
          expect(driverSees(`postgres://u:${text}@h/d`)).toMatchObject({
            user: 'u',
            password: text,
            host: 'h',
            database: 'd'
          })
        } catch (error) {
          if (!(error instanceof ConfigurationError)) throw error
        }
      })
    )
  })

  it.each([
    ['postgres://u:hunter2@h', 'names no database'],
    ['postgres://u:hunter2@h/', 'names no database'],
    ['postgres://u:hunter2@h?sslmode=require', 'names no database'],
    ['postgres:///d', 'names no host'],
    ['postgres:///d?host=', 'names no host'],
    ['postgres://u:hunter2@/d', 'one host'],
    ['postgres://u:hunter2@h:0/d', 'port that is not a number from 1 to 65535'],
    ['postgres://u:hunter2@h:65536/d', 'port from 1 to 65535'],
    ['postgres://u:hunter2@h:port/d', 'port from 1 to 65535'],
    ['postgres://u:hunter2@h/d?port=x', 'port that is not a number'],
    ['postgres://u:hunter2@h1:1,h2:2/d', 'one host'],
    ['postgres://u:hunter2@h h/d', 'cannot be parsed'],
    ['postgres:d', 'lacks the //'],
    ['postgres:u:hunter2@h/d', 'lacks the //'],
    ['postgres:/h/hunter2', 'lacks the //'],
    ['postgres://u:hunter2#x@h/d', '%23 for #'],
    ['postgres://u:1#hunter2@h/d', '%23 for #'],
    ['postgres://u:1/hunter2@h/d', '%40 for @'],
    ['postgres://u:1/d?hunter2@h/d', '%40 for @'],
    ['postgres://u:hunter2%@h/d', '%25 for %'],
    ['postgres://u:hunter2%ff@h/d', '%25 for %'],
    ['postgres://u:hunter2%00@h/d', '%00'],
    ['postgres://u:hunter2\n@h/d', 'line break'],
    ['postgres://u:hunter2\ud800@h/d', 'must be encoded'],
    ['postgres://h/d#hunter2', '%23 for #']
  ])('%j is refused: %s', (url, reason) => {
    const message = refusalOf(url)
    expect(message).toContain(reason)
    expect(message).not.toContain('hunter2')
  })
})

describe('URLs for other Keyv adapters', () => {
  it.each(['redis', 'rediss', 'valkey', 'mysql', 'mongodb', 'mongodb+srv', 'memcache', 'memcached', 'etcd'])(
    '%s: is passed on as it is',
    (scheme) => {
      const url = `${scheme.toUpperCase()}://user:hunter2@h:1234/x?y=z`
      expect(parseConnectionUrl(url)).toEqual({ backend: 'keyv', scheme, url })
    }
  )

  it.each(['redis:h:6379', 'redis:', 'redis://:hunter2\n@h'])('%j is refused', (url) => {
    const message = refusalOf(url)
    expect(message).toContain('redis://host:port')
    expect(message).not.toContain('hunter2')
  })
})

describe('other URLs', () => {
  it.each(['ftp://:hunter2@h:6379', 'MsSQL://u:hunter2@h/d', 'http://h', 'constructor://h', '__proto__:x'])(
    '%s is refused, with the schemes that are known',
    (url) => {
      const message = refusalOf(url)
      expect(message).toContain(url.startsWith('__') ? 'does not begin with a scheme' : 'Unknown scheme')
      expect(message).toContain('sqlite:')
      expect(message).toContain('postgres:')
      expect(message).not.toContain('hunter2')
    }
  )

  it('lists the known schemes', () => {
    expect(refusalOf('oracle://h')).toContain('Known schemes: sqlite:, postgres:, postgresql:, redis:, ')
  })

  it.each([
    '/srv/session.db',
    'session.db',
    'hunter2',
    '',
    ' postgres://u:hunter2@h/d',
    '://h',
    'u:hunter2@h/d'
  ])('%j is refused without being shown', (url) => {
    expect(refusalOf(url)).not.toContain('hunter2')
  })

  it('advises the scheme for the bare path of a Windows file', () => {
    expect(refusalOf('C:\\data\\s.db')).toContain('write sqlite: as well')
  })

  it.each([undefined, null, 5, {}, ['sqlite:a'], { href: 'sqlite:a' }])('%j is no URL', (url) => {
    expect(refusalOf(url)).toContain('must be a string or a URL')
  })
})

/** Characters that end or begin a part of a URL, line breaks among them, and letters that stand out in a message. */
const trickyUnit = fc.constantFrom(...'@/#?%:&=;[]\\ \n\t\r"\'+é🍪QXZJ')

describe('redactUrl', () => {
  it.each([
    ['postgres://user:hunter2@h:5432/d?sslmode=require', 'postgres://user:***@h:5432/d?***'],
    ['POSTGRES://user:hunter2@h/d', 'postgres://user:***@h/d'],
    ['postgres://hunter2@h/d', 'postgres://***@h/d'],
    ['postgres://h:5432/d', 'postgres://h:5432/d'],
    ['postgres://h/d?password=hunter2&sslkey=hunter2', 'postgres://h/d?***'],
    ['postgres://h/d?password=hun@ter2', 'postgres://***'],
    ['postgres://user:hunter2', 'postgres://***'],
    ['postgres://user:hunter2/d', 'postgres://***'],
    ['postgres://user:p@ss hunter2@h/d', 'postgres://user:***@h/d'],
    ['postgres://user:hunter2\n@h/d', 'postgres://user:***@h/d'],
    ['postgres://user:hun/ter2@h/d', 'postgres://user:***@h/d'],
    ['postgres://user:hun?ter2@h/d', 'postgres://***'],
    ['postgres://user:hun#ter2@h/d', 'postgres://***'],
    ['postgres://h/d;password=hunter2', 'postgres://h/d;***'],
    ['postgres:u:hunter2@h/d', 'postgres:***'],
    ['redis://:hunter2@h:6379/0', 'redis://:***@h:6379/0'],
    ['sqlite:/srv/s.db?key=hunter2', 'sqlite:/srv/s.db?***'],
    ['sqlite:/srv/me@home/s.db', 'sqlite:/srv/me@home/s.db'],
    ['hunter2', '***']
  ])('%j becomes %j', (url, shown) => {
    expect(redactUrl(url)).toBe(shown)
  })

  it('keeps control characters out of a log, and long URLs short', () => {
    expect(redactUrl('postgres://h\n/d\u001b[2J')).not.toMatch(/\p{Cc}/u)
    expect(redactUrl(`postgres://u:p@${'h'.repeat(100_000)}/d`).length).toBeLessThan(300)
  })

  const secret = fc
    .tuple(fc.string({ unit: trickyUnit, maxLength: 8 }), fc.string({ unit: trickyUnit, maxLength: 8 }))
    .map(([before, after]) => `${before}hunter2${after}`)
  // Every form of URL that holds a password, as people write them: raw or encoded, complete or not.
  const forms: ReadonlyArray<(password: string) => string> = [
    (password) => `postgres://user:${password}@db.example.com:5432/app`,
    (password) => `postgresql://user:${password}@db/app?sslmode=require`,
    (password) => `postgres://user:${password}@db/app?application_name=me@home`,
    (password) => `postgres://user:${password}@/app?host=/run`,
    (password) => `postgres://:${password}@db`,
    // What stands before the first colon is a user name, which may show.
    (password) => `postgres://${password.replaceAll(':', '')}@db/app`,
    (password) => `postgres://db/app?password=${password}`,
    (password) => `postgres://user:other@db/app?sslmode=require&sslpassword=${password}&sslkey=${password}`,
    (password) => `postgres://user:${password}@db:bad/app`,
    (password) => `postgres:user:${password}@db/app`,
    (password) => `redis://:${password}@db:6379`,
    (password) => `mysql://user:${password}@db/app`
  ]

  it('never shows a part of a password, wherever it stands and whatever it holds', () => {
    fc.assert(
      fc.property(secret, fc.constantFrom(...forms), (password, form) => {
        for (const url of [form(password), form(encodeURIComponent(password))]) {
          expect(redactUrl(url)).not.toContain('hunter2')
          try {
            parseConnectionUrl(url)
          } catch (error) {
            expect(String(error)).not.toContain('hunter2')
          }
        }
      }),
      { numRuns: 2_000 }
    )
  })

  it('leaves not even a stray piece of a password behind', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: trickyUnit, minLength: 1, maxLength: 12 }),
        fc.constantFrom(...forms),
        (password, form) => {
          // None of these letters stands in a form.
          expect(redactUrl(form(password))).not.toMatch(/[QXZJ🍪]/u)
        }
      ),
      { numRuns: 2_000 }
    )
  })
})
