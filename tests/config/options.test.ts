import { describe, expect, it } from 'vitest'
import { resolveOptions, type SessionServiceOptions } from '../../src/config/options.ts'
import { ConfigurationError } from '../../src/core/errors.ts'

function refusalOf(options: unknown): string {
  try {
    resolveOptions(options as SessionServiceOptions) // what a caller without types may pass
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigurationError)
    return (error as Error).message
  }
  return expect.fail(`the options were accepted: ${JSON.stringify(options)}`)
}

/** `{ postgres: { table: value } }` for `postgres.table`. */
function withOption(path: string, value: unknown): Record<string, unknown> {
  return path.split('.').reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Record<
    string,
    unknown
  >
}

describe('defaults', () => {
  it('fills in every option that is missing', () => {
    expect(resolveOptions(undefined)).toEqual({
      idleTimeoutMs: 24 * 3_600_000,
      absoluteTimeoutMs: 30 * 24 * 3_600_000,
      touchAfterMs: 60_000,
      tombstoneMs: 24 * 3_600_000,
      pruneIntervalMs: 15 * 60_000,
      userIdOf: undefined,
      maxDataBytes: 1024 * 1024,
      namespace: 'sessions',
      postgres: {
        schema: 'public',
        table: 'bodhi_sessions',
        maxConnections: 10,
        maxQueued: 10_000,
        connectTimeoutMs: 5_000,
        statementTimeoutMs: 10_000,
        lockTimeoutMs: 2_000,
        preparedStatements: true,
        ssl: undefined,
        password: undefined,
        applicationName: 'bodhi-session',
        migrate: true
      },
      sqlite: { table: 'bodhi_sessions', busyTimeoutMs: 5_000, durability: 'normal' }
    })
  })

  it('treats an option that is undefined as missing', () => {
    expect(
      resolveOptions({ idleTimeoutMs: undefined, postgres: { table: undefined }, sqlite: undefined })
    ).toEqual(resolveOptions({}))
  })

  it.each([
    [1_000, 100],
    [599_999, 59_999],
    [600_000, 60_000],
    [86_400_000, 60_000],
    [5, 0]
  ])('with an idle timeout of %i ms a touch is written after %i ms', (idleTimeoutMs, touchAfterMs) => {
    expect(resolveOptions({ idleTimeoutMs }).touchAfterMs).toBe(touchAfterMs)
  })

  it('keeps what was given, functions and TLS options by identity', () => {
    const userIdOf = (data: { owner: string }) => data.owner
    const ssl = { rejectUnauthorized: true }
    const password = async () => 'secret'
    const resolved = resolveOptions({ userIdOf, postgres: { ssl, password, table: 'mine' } })
    expect(resolved.userIdOf).toBe(userIdOf)
    expect(resolved.postgres).toMatchObject({ table: 'mine', schema: 'public' })
    expect(resolved.postgres.ssl).toBe(ssl)
    expect(resolved.postgres.password).toBe(password)
  })

  it('is frozen, and not changed by a later change of what was given', () => {
    const postgres = { table: 'before' }
    const resolved = resolveOptions({ postgres })
    postgres.table = 'after'
    expect(resolved.postgres.table).toBe('before')
    expect([resolved, resolved.postgres, resolved.sqlite].every(Object.isFrozen)).toBe(true)
  })

  it('gives the same when it resolves what it has resolved', () => {
    const resolved = resolveOptions({ idleTimeoutMs: 1_000, postgres: { maxConnections: 3 } })
    expect(resolveOptions(resolved)).toEqual(resolved)
  })
})

describe('numbers', () => {
  const MAX_TIMER = 2 ** 31 - 1
  const HUNDRED_YEARS = 36_525 * 86_400_000
  const limits: Array<[option: string, min: number, max: number]> = [
    ['tombstoneMs', 1_000, HUNDRED_YEARS],
    ['absoluteTimeoutMs', 86_400_000, HUNDRED_YEARS],
    ['idleTimeoutMs', 1, 30 * 86_400_000],
    ['touchAfterMs', 0, 8_640_000],
    ['pruneIntervalMs', 0, 2 ** 30],
    ['maxDataBytes', 2, 256 * 1024 * 1024],
    ['postgres.maxConnections', 1, 262_143],
    ['postgres.maxQueued', 1, 10_000_000],
    ['postgres.connectTimeoutMs', 1, MAX_TIMER],
    ['postgres.statementTimeoutMs', 1, MAX_TIMER],
    ['postgres.lockTimeoutMs', 1, MAX_TIMER],
    ['sqlite.busyTimeoutMs', 0, MAX_TIMER]
  ]

  it.each(limits)('%s may be %i to %i, and nothing beyond', (option, min, max) => {
    for (const value of [min, max]) expect(() => resolveOptions(withOption(option, value))).not.toThrow()
    for (const value of [min - 1, max + 1]) {
      const message = refusalOf(withOption(option, value))
      expect(message).toContain(option)
      expect(message).toContain(String(value))
    }
  })

  it.each(limits)('%s must be a whole number', (option, min) => {
    for (const value of [-1, Number.NaN, min + 0.5, Number.POSITIVE_INFINITY, 2 ** 53]) {
      expect(refusalOf(withOption(option, value))).toContain(`${option} must be a whole number`)
      expect(refusalOf(withOption(option, value))).toContain(`got ${value}`)
    }
    for (const value of ['60000', null, true, [60_000], {}, 60_000n, () => 60_000, Symbol('60000')]) {
      expect(refusalOf(withOption(option, value))).toContain(`${option} must be a whole number`)
    }
  })

  it('refuses an absolute timeout below the idle timeout, and says both', () => {
    const message = refusalOf({ idleTimeoutMs: 5_000, absoluteTimeoutMs: 4_999 })
    expect(message).toBe(
      'absoluteTimeoutMs must be at least idleTimeoutMs, but 4999 is less than 5000. Raise the one or lower the other.'
    )
    expect(() => resolveOptions({ idleTimeoutMs: 5_000, absoluteTimeoutMs: 5_000 })).not.toThrow()
  })

  it('does not raise the default absolute timeout in silence for a long idle timeout', () => {
    expect(refusalOf({ idleTimeoutMs: 31 * 86_400_000 })).toContain(
      'absoluteTimeoutMs must be at least idleTimeoutMs'
    )
  })

  it('refuses to throttle touches by more than a tenth of the idle timeout', () => {
    expect(resolveOptions({ idleTimeoutMs: 10_000, touchAfterMs: 1_000 }).touchAfterMs).toBe(1_000)
    expect(refusalOf({ idleTimeoutMs: 10_000, touchAfterMs: 1_001 })).toBe(
      'touchAfterMs must be at most a tenth of idleTimeoutMs, so at most 1000, but got 1001.'
    )
  })
})

describe('names', () => {
  it.each(['postgres.schema', 'postgres.table', 'sqlite.table'])('%s must be an identifier', (option) => {
    for (const name of ['s', '_', 'Sessions_2', 'a'.repeat(47)]) {
      expect(() => resolveOptions(withOption(option, name))).not.toThrow()
    }
    for (const name of [
      '',
      '2s',
      'a b',
      'a-b',
      'a.b',
      'a"b',
      "a'b",
      'a;drop table x',
      'é',
      'a\0',
      'a\n',
      7,
      null
    ]) {
      expect(refusalOf(withOption(option, name))).toContain(`${option} must be an identifier`)
    }
  })

  it('leaves room for the suffixes of index names within the 63 bytes of PostgreSQL', () => {
    expect(() => resolveOptions({ postgres: { schema: 'a'.repeat(63) } })).not.toThrow()
    expect(refusalOf({ postgres: { schema: 'a'.repeat(64) } })).toContain('at most 63 characters')
    for (const group of ['postgres', 'sqlite']) {
      expect(refusalOf({ [group]: { table: 'a'.repeat(48) } })).toContain('at most 47 characters')
    }
  })

  it('refuses the names that the databases keep for themselves', () => {
    expect(refusalOf({ postgres: { schema: 'pg_mine' } })).toContain('pg_')
    expect(refusalOf({ sqlite: { table: 'SQLite_mine' } })).toContain('sqlite_')
  })

  it('takes any text of 1 to 255 bytes as a namespace', () => {
    for (const namespace of ['a', 'shop:live', 'é'.repeat(127), '🍪']) {
      expect(resolveOptions({ namespace }).namespace).toBe(namespace)
    }
    for (const namespace of ['', 'a'.repeat(256), 'é'.repeat(128), 'a\0b', '\ud800', 5]) {
      expect(refusalOf({ namespace })).toContain(
        'namespace must be well-formed text of 1 to 255 bytes without NUL'
      )
    }
  })

  it('takes printable ASCII as an application name, which is what PostgreSQL keeps of it', () => {
    expect(resolveOptions({ postgres: { applicationName: 'shop (live)' } }).postgres.applicationName).toBe(
      'shop (live)'
    )
    for (const applicationName of ['', 'a'.repeat(64), 'é', 'a\nb', 1]) {
      expect(refusalOf({ postgres: { applicationName } })).toContain('postgres.applicationName')
    }
  })
})

describe('what is no option', () => {
  it.each(['idleTimeout', 'encryptionKeys', 'constructor', 'postgres.host', 'sqlite.path'])(
    'refuses the unknown option %s and lists the known ones',
    (option) => {
      const message = refusalOf(withOption(option, 1))
      expect(message).toContain(`Unknown option ${option}.`)
      expect(message).toContain(option.startsWith('postgres') ? 'postgres.maxConnections' : 'sqlite')
    }
  )

  it.each([
    ['a string', 'x'],
    ['an array', []],
    ['null', null],
    ['a function', () => ({})],
    ['5', 5]
  ])('refuses %s in the place of an object', (got, value) => {
    expect(refusalOf(value === 'x' ? 'postgres://u:hunter2@h/d' : value)).toMatch(
      /^The options must be an object/
    )
    expect(refusalOf({ postgres: value })).toMatch(/^postgres must be an object/)
    expect(refusalOf({ sqlite: value })).toContain(got === 'a string' ? '"x"' : got)
  })

  it.each([
    ['userIdOf', 'user_id', 'a function'],
    ['postgres.preparedStatements', 'true', 'true or false'],
    ['postgres.migrate', 1, 'true or false'],
    ['sqlite.durability', 'FULL', "'normal' or 'full'"]
  ])('%s = %j is refused: allowed is %s', (option, value, allowed) => {
    expect(refusalOf(withOption(option, value))).toMatch(`${option} must be ${allowed}`)
  })
})

describe('secrets', () => {
  it('never stand in a message', () => {
    const secret = 'hunter2-hunter2'
    for (const options of [
      { postgres: { password: secret } },
      { postgres: { ssl: secret } },
      { postgres: { ssl: [secret] } },
      { encryptionKeys: [secret] },
      { postgres: `postgres://u:${secret}@h/d` },
      { namespace: `postgres://u:${secret}@h/d`.padEnd(300, 'x') },
      { postgres: { schema: `u:${secret}@h` } },
      `postgres://u:${secret}@h/d`
    ]) {
      expect(refusalOf(options)).not.toContain('hunter2')
    }
  })
})
