import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { ENVIRONMENT_VARIABLES } from '../../src/config/environment-variables.ts'
import {
  BODHI_DEPLOYMENT,
  BODHI_HOME,
  BODHI_SESSION_DB_URL,
  deploymentMode,
  type EnvironmentOptions,
  readEnvironment,
  sessionDbUrl
} from '../../src/config/from-env.ts'
import { resolveOptions } from '../../src/config/options.ts'
import { ConfigurationError } from '../../src/core/errors.ts'

const folder = mkdtempSync(join(tmpdir(), 'bodhi-session-env-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function refusalOf(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigurationError)
    return (error as Error).message
  }
  return expect.fail('nothing was refused')
}

/** Sets variables of this process for the time of `act`. */
function withProcessEnv(variables: Record<string, string>, act: () => void): void {
  const before = { ...process.env }
  Object.assign(process.env, variables)
  try {
    act()
  } finally {
    for (const name of Object.keys(variables)) {
      if (before[name] === undefined) delete process.env[name]
      else process.env[name] = before[name]
    }
  }
}

const PG = 'postgres://user:hunter2@db:5432/app'

describe('BODHI_DEPLOYMENT', () => {
  it.each([
    [undefined, 'standalone'],
    ['', 'standalone'],
    ['  ', 'standalone'],
    ['standalone', 'standalone'],
    ['cluster', 'cluster'],
    [' cluster\n', 'cluster']
  ])('%j means %s', (value, mode) => {
    expect(deploymentMode({ BODHI_DEPLOYMENT: value })).toBe(mode)
  })

  it.each(['Cluster', 'single', 'true', 'standalone,cluster', PG])('%j is refused', (value) => {
    const env = { BODHI_DEPLOYMENT: value }
    for (const act of [() => deploymentMode(env), () => sessionDbUrl(env), () => readEnvironment({ env })]) {
      const message = refusalOf(act)
      expect(message).toContain('BODHI_DEPLOYMENT must be standalone or cluster')
      expect(message).not.toContain('hunter2')
    }
  })
})

describe('BODHI_SESSION_DB_URL', () => {
  it.each([
    // mode, URL, home → what is used
    [undefined, undefined, undefined, 'sqlite:session.sqlite'],
    ['standalone', undefined, undefined, 'sqlite:session.sqlite'],
    [undefined, '', '', 'sqlite:session.sqlite'],
    [undefined, ' ', ' ', 'sqlite:session.sqlite'],
    [undefined, undefined, '/srv/bodhi', 'sqlite:/srv/bodhi/session.sqlite'],
    [undefined, undefined, '/srv/bodhi/', 'sqlite:/srv/bodhi/session.sqlite'],
    [undefined, undefined, '//srv/bodhi', 'sqlite:/srv/bodhi/session.sqlite'],
    [undefined, undefined, 'data', 'sqlite:data/session.sqlite'],
    ['standalone', '', '/srv/my data/é?#%20', 'sqlite:/srv/my data/é?#%20/session.sqlite'],
    [undefined, 'sqlite::memory:', '/srv/bodhi', 'sqlite::memory:'],
    ['standalone', 'sqlite:/abs/path.db', undefined, 'sqlite:/abs/path.db'],
    [undefined, 'SQLITE://relative.db', undefined, 'SQLITE://relative.db'],
    [undefined, PG, '/srv/bodhi', PG],
    ['standalone', ` ${PG}\n`, undefined, PG],
    ['cluster', PG, undefined, PG],
    ['cluster', 'PostgreSQL://u:p@h/d', undefined, 'PostgreSQL://u:p@h/d'],
    ['cluster', 'postgres:///d?host=/run', '/srv/bodhi', 'postgres:///d?host=/run']
  ])('deployment %j, URL %j and home %j give %s', (deployment, url, home, expected) => {
    const env = { [BODHI_DEPLOYMENT]: deployment, [BODHI_SESSION_DB_URL]: url, [BODHI_HOME]: home }
    expect(sessionDbUrl(env)).toBe(expected)
  })

  it.each([
    ['cluster', undefined, 'BODHI_SESSION_DB_URL is not set'],
    ['cluster', '', 'BODHI_SESSION_DB_URL is not set'],
    ['cluster', 'sqlite::memory:', 'BODHI_SESSION_DB_URL is sqlite::memory:'],
    ['cluster', 'sqlite:/srv/s.db', 'BODHI_SESSION_DB_URL is sqlite:/srv/s.db'],
    ['cluster', 'redis://:hunter2@h:6379', 'BODHI_SESSION_DB_URL is redis://:***@h:6379'],
    ['cluster', 'mongodb+srv://h/d', 'BODHI_SESSION_DB_URL is mongodb+srv://h/d']
  ])('deployment %s refuses the URL %j with an example of a good one', (deployment, url, found) => {
    const env = { BODHI_DEPLOYMENT: deployment, BODHI_SESSION_DB_URL: url, BODHI_HOME: '/srv/bodhi' }
    const message = refusalOf(() => sessionDbUrl(env))
    expect(message).toContain('BODHI_DEPLOYMENT=cluster needs a PostgreSQL store')
    expect(message).toContain(found)
    expect(message).toContain('BODHI_SESSION_DB_URL=postgres://user:password@')
    expect(refusalOf(() => readEnvironment({ env }))).toBe(message)
  })

  it.each([
    'ftp://:hunter2@h',
    'postgres://user:hunter2@h',
    'postgres://user:hunter2@h:x/d',
    'hunter2',
    'sqlite:'
  ])('%s is refused by the name of the variable, in either mode, without its password', (url) => {
    for (const mode of ['standalone', 'cluster']) {
      const env = { BODHI_DEPLOYMENT: mode, BODHI_SESSION_DB_URL: url }
      const message = refusalOf(() => sessionDbUrl(env))
      expect(message).toMatch(/^BODHI_SESSION_DB_URL: /)
      expect(message).not.toContain('hunter2')
    }
  })

  it('shows no password in any message, whatever is wrong', () => {
    const tricky = fc.string({ unit: fc.constantFrom(...'@/#?%: &=;\n"aB9é'), maxLength: 6 })
    const url = fc
      .tuple(
        fc.constantFrom('postgres', 'postgresql', 'POSTGRES', 'redis', 'mysql', 'sqlit'),
        tricky,
        tricky,
        fc.constantFrom('@h/d', '@h', '@h:x/d', '@h:1/d?sslmode=x', '@/d', '@h1,h2:5/d')
      )
      .map(([scheme, before, after, rest]) => `${scheme}://user:${before}hunter2${after}${rest}`)
    fc.assert(
      fc.property(url, fc.constantFrom('cluster', 'standalone', 'x'), (text, mode) => {
        const names = [
          BODHI_SESSION_DB_URL,
          BODHI_DEPLOYMENT,
          ...ENVIRONMENT_VARIABLES.map(({ name }) => name)
        ]
        for (const name of names) {
          // The URL also lands in a variable that is not meant for it.
          const env = { BODHI_DEPLOYMENT: mode, BODHI_SESSION_DB_URL: 'sqlite::memory:', [name]: text }
          try {
            readEnvironment({ env })
          } catch (error) {
            expect(error).toBeInstanceOf(ConfigurationError)
            expect(String(error)).not.toContain('hunter2')
          }
        }
      }),
      { numRuns: 300 }
    )
  })
})

describe('BODHI_HOME', () => {
  it('is created, for its owner alone, when the store is to lie in it', () => {
    const home = join(folder, 'new', 'my home é')
    expect(readEnvironment({ env: { BODHI_HOME: home } }).url).toBe(`sqlite:${home}/session.sqlite`)
    expect(statSync(home).isDirectory()).toBe(true)
    expect(statSync(home).mode & 0o777).toBe(0o700)
    expect(readEnvironment({ env: { BODHI_HOME: home } }).url).toBe(`sqlite:${home}/session.sqlite`)
  })

  it('is not created by asking for the URL, nor when the store lies elsewhere, nor when something else is wrong', () => {
    const home = join(folder, 'untouched')
    sessionDbUrl({ BODHI_HOME: home })
    readEnvironment({ env: { BODHI_HOME: home, BODHI_SESSION_DB_URL: 'sqlite::memory:' } })
    refusalOf(() => readEnvironment({ env: { BODHI_HOME: home, BODHI_SESSION_MAX_CONNECTIONS: '0' } }))
    expect(readdirSync(folder)).not.toContain('untouched')
  })

  it('is refused by its name where it cannot be created', () => {
    const file = join(folder, 'a-file')
    writeFileSync(file, '')
    for (const home of [file, join(file, 'below')]) {
      const message = refusalOf(() => readEnvironment({ env: { BODHI_HOME: home } }))
      expect(message).toContain(`BODHI_HOME names the folder "${home}"`)
      expect(message).toMatch(/EEXIST|ENOTDIR/)
    }
  })

  it.each(['~', '~/bodhi', '~\\bodhi'])('%s is refused, since no shell has expanded it', (home) => {
    expect(refusalOf(() => sessionDbUrl({ BODHI_HOME: home }))).toContain('BODHI_HOME begins with ~')
  })

  it('is refused with a NUL', () => {
    expect(refusalOf(() => sessionDbUrl({ BODHI_HOME: 'a\0b' }))).toMatch(/^BODHI_HOME: .*NUL/)
  })
})

describe('variables for options', () => {
  const base = { BODHI_SESSION_DB_URL: 'sqlite::memory:' }
  const optionsOf = (env: Record<string, string>, inCode: EnvironmentOptions = {}) =>
    readEnvironment({ ...inCode, env: { ...base, ...env } }).options

  it('leaves the defaults where none is set', () => {
    expect(optionsOf({})).toEqual(resolveOptions({}))
  })

  it('sets each option that an operator would set', () => {
    expect(
      optionsOf({
        BODHI_SESSION_IDLE_TIMEOUT_MS: '3600000',
        BODHI_SESSION_ABSOLUTE_TIMEOUT_MS: '7200000',
        BODHI_SESSION_TOUCH_AFTER_MS: '0',
        BODHI_SESSION_TOMBSTONE_MS: '5000',
        BODHI_SESSION_PRUNE_INTERVAL_MS: '1000',
        BODHI_SESSION_MAX_DATA_BYTES: '4096',
        BODHI_SESSION_NAMESPACE: '123',
        BODHI_SESSION_TABLE: 'true',
        BODHI_SESSION_SCHEMA: 'app',
        BODHI_SESSION_MAX_CONNECTIONS: '3',
        BODHI_SESSION_MAX_QUEUED: '4',
        BODHI_SESSION_CONNECT_TIMEOUT_MS: '5',
        BODHI_SESSION_STATEMENT_TIMEOUT_MS: '6',
        BODHI_SESSION_LOCK_TIMEOUT_MS: '7',
        BODHI_SESSION_PREPARED_STATEMENTS: 'false',
        BODHI_SESSION_APPLICATION_NAME: 'shop',
        BODHI_SESSION_MIGRATE: 'false',
        BODHI_SESSION_BUSY_TIMEOUT_MS: '0',
        BODHI_SESSION_DURABILITY: 'full'
      })
    ).toEqual({
      idleTimeoutMs: 3_600_000,
      absoluteTimeoutMs: 7_200_000,
      touchAfterMs: 0,
      tombstoneMs: 5_000,
      pruneIntervalMs: 1_000,
      userIdOf: undefined,
      maxDataBytes: 4_096,
      namespace: '123',
      postgres: {
        schema: 'app',
        table: 'true',
        maxConnections: 3,
        maxQueued: 4,
        connectTimeoutMs: 5,
        statementTimeoutMs: 6,
        lockTimeoutMs: 7,
        preparedStatements: false,
        ssl: undefined,
        password: undefined,
        applicationName: 'shop',
        migrate: false
      },
      sqlite: { table: 'true', busyTimeoutMs: 0, durability: 'full' }
    })
  })

  it('has an option behind each variable, and leaves only what is no text without one', () => {
    const { userIdOf: _, postgres, sqlite, ...own } = resolveOptions({})
    const { ssl: _ssl, password: _password, ...settable } = postgres
    const paths = [
      ...Object.keys(own),
      ...Object.keys(settable).map((key) => `postgres.${key}`),
      ...Object.keys(sqlite).map((key) => `sqlite.${key}`)
    ]
    expect(ENVIRONMENT_VARIABLES.flatMap(({ options }) => options).sort()).toEqual(paths.sort())
  })

  it('counts an empty variable as unset, drops white space around a value, and leaves unknown ones alone', () => {
    expect(
      optionsOf({
        BODHI_SESSION_IDLE_TIMEOUT_MS: '',
        BODHI_SESSION_NAMESPACE: '  ',
        BODHI_SESSION_SCHEMA: ' app\r\n',
        BODHI_SESSION_COLOUR: 'blue'
      })
    ).toEqual(resolveOptions({ postgres: { schema: 'app' } }))
  })

  it('lets options from code win, one by one, and does not change them', () => {
    const inCode = { idleTimeoutMs: 5_000, namespace: undefined, postgres: Object.freeze({ table: 'coded' }) }
    const options = optionsOf(
      {
        BODHI_SESSION_IDLE_TIMEOUT_MS: '9000',
        BODHI_SESSION_NAMESPACE: 'named',
        BODHI_SESSION_TABLE: 'named',
        BODHI_SESSION_SCHEMA: 'named'
      },
      Object.freeze(inCode)
    )
    expect(options).toMatchObject({ idleTimeoutMs: 5_000, namespace: 'named', sqlite: { table: 'named' } })
    expect(options.postgres).toMatchObject({ table: 'coded', schema: 'named' })
  })

  it.each(
    ENVIRONMENT_VARIABLES.filter((variable) => typeof variable.default === 'number').map(({ name }) => name)
  )('%s takes digits only', (name) => {
    for (const text of [
      '10s',
      '1e3',
      '0x10',
      '1_000',
      '-1',
      '+1',
      '1.5',
      'NaN',
      'true',
      '１',
      '9'.repeat(30)
    ]) {
      const message = refusalOf(() => optionsOf({ [name]: text }))
      expect(message).toContain(`${name} must be a whole number`)
      expect(message).toMatch(/ from \d+ to \d+, but got /)
    }
  })

  it.each(['BODHI_SESSION_MIGRATE', 'BODHI_SESSION_PREPARED_STATEMENTS'])(
    '%s takes true and false only',
    (name) => {
      for (const text of ['1', '0', 'yes', 'TRUE', 'on', 'null']) {
        expect(refusalOf(() => optionsOf({ [name]: text }))).toBe(
          `${name} must be true or false, but got "${text}".`
        )
      }
    }
  )

  it('names the variables in conflicts between them, and options where they come from code', () => {
    const env = { BODHI_SESSION_IDLE_TIMEOUT_MS: '5000' }
    expect(refusalOf(() => optionsOf({ ...env, BODHI_SESSION_ABSOLUTE_TIMEOUT_MS: '4000' }))).toMatch(
      /^BODHI_SESSION_ABSOLUTE_TIMEOUT_MS must be at least BODHI_SESSION_IDLE_TIMEOUT_MS,/
    )
    expect(refusalOf(() => optionsOf(env, { absoluteTimeoutMs: 4_000 }))).toMatch(
      /^absoluteTimeoutMs must be at least BODHI_SESSION_IDLE_TIMEOUT_MS,/
    )
    expect(refusalOf(() => optionsOf({ BODHI_SESSION_DURABILITY: 'max' }))).toBe(
      `BODHI_SESSION_DURABILITY must be 'normal' or 'full', but got "max".`
    )
    expect(refusalOf(() => optionsOf({ BODHI_SESSION_TABLE: 'a b' }))).toMatch(
      /^BODHI_SESSION_TABLE must be an identifier/
    )
  })

  it('refuses options from code that are none', () => {
    const read = (settings: unknown) => refusalOf(() => readEnvironment(settings as EnvironmentOptions))
    expect(read(null)).toContain('The options must be an object')
    expect(read({ env: base, colour: 'blue' })).toContain('Unknown option colour')
    expect(read({ env: { ...base, BODHI_SESSION_SCHEMA: 'app' }, postgres: 5 })).toContain(
      'postgres must be an object'
    )
    expect(read({ env: { ...base, BODHI_SESSION_SCHEMA: 5 } })).toContain(
      'BODHI_SESSION_SCHEMA must be a string'
    )
  })
})

describe('the source of the variables', () => {
  it('is process.env unless another is given', () => {
    withProcessEnv(
      { BODHI_DEPLOYMENT: 'cluster', BODHI_SESSION_DB_URL: PG, BODHI_SESSION_NAMESPACE: 'shop' },
      () => {
        expect(deploymentMode()).toBe('cluster')
        expect(sessionDbUrl()).toBe(PG)
        expect(readEnvironment()).toMatchObject({ url: PG, options: { namespace: 'shop' } })
        expect(deploymentMode({})).toBe('standalone')
        expect(sessionDbUrl({})).toBe('sqlite:session.sqlite')
      }
    )
  })

  it('uses another prefix for every variable, and in every message', () => {
    const env = {
      MYAPP_DEPLOYMENT: 'cluster',
      MYAPP_SESSION_DB_URL: PG,
      MYAPP_SESSION_NAMESPACE: 'mine',
      BODHI_DEPLOYMENT: 'nonsense',
      BODHI_SESSION_NAMESPACE: 'theirs'
    }
    const prefix = 'MYAPP_'
    expect(deploymentMode(env, prefix)).toBe('cluster')
    expect(sessionDbUrl(env, prefix)).toBe(PG)
    expect(readEnvironment({ env, prefix })).toMatchObject({ url: PG, options: { namespace: 'mine' } })
    const messages = [
      refusalOf(() => sessionDbUrl({ MYAPP_DEPLOYMENT: 'cluster' }, prefix)),
      refusalOf(() => deploymentMode({ MYAPP_DEPLOYMENT: 'x' }, prefix)),
      refusalOf(() => sessionDbUrl({ MYAPP_SESSION_DB_URL: 'x' }, prefix)),
      refusalOf(() => sessionDbUrl({ MYAPP_HOME: '~' }, prefix)),
      refusalOf(() => readEnvironment({ env: { ...env, MYAPP_SESSION_MIGRATE: 'x' }, prefix }))
    ]
    for (const message of messages) {
      expect(message).toContain('MYAPP_')
      expect(message).not.toContain('BODHI_')
    }
  })

  it.each(['', 'MYAPP', 'my-app_', '1APP_', 'MY APP_', 'MYAPP_\n', 5, null])(
    'refuses the prefix %j',
    (prefix) => {
      for (const act of [
        () => deploymentMode({}, prefix as string),
        () => sessionDbUrl({}, prefix as string),
        () => readEnvironment({ env: {}, prefix: prefix as string })
      ]) {
        expect(refusalOf(act)).toContain('The option prefix must')
      }
    }
  )
})
