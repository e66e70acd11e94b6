import type { ConnectionOptions as TlsConnectionOptions } from 'node:tls'
import { ConfigurationError } from '../core/errors.ts'
import type { UserIdOf } from '../core/user-id.ts'
import {
  applyRules,
  flag,
  identifier,
  type OptionRules,
  oneOf,
  optional,
  text,
  wholeNumber
} from './option-rules.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** 100 years: far beyond any session, and far within what JavaScript and the databases can add to a date. */
const MAX_DURATION_MS = 36_525 * DAY
/** The longest delay of a Node timer, and of PostgreSQL's time-outs. A longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1
/** Half of what a timer holds, so that jitter has room. */
const MAX_INTERVAL_MS = 2 ** 30
/** The upper limit of PostgreSQL's own max_connections. */
const MAX_CONNECTIONS = 262_143
/** A JavaScript string holds 2^29 characters, and a JSON text is read and written as one. */
const MAX_DATA_BYTES = 256 * 1024 * 1024
/** PostgreSQL cuts names at 63 bytes. */
const MAX_NAME_LENGTH = 63
/** What a table's name must leave free for the longest suffix of its indexes and its version table. */
const NAME_SUFFIX_LENGTH = 16

/** How the service reaches PostgreSQL. Ignored with any other store. */
export interface PostgresOptions {
  /**
   * The schema that holds the table. Created by the migrations if it is missing. At most 63 characters: ASCII letters,
   * digits, underscores, not starting with a digit or with `pg_`. Upper and lower case differ.
   * @default 'public'
   */
  readonly schema?: string | undefined
  /**
   * The table of the sessions, and the stem of its indexes' names. As `schema`, but at most 47 characters: PostgreSQL
   * cuts names at 63, and an index adds up to 16.
   * @default 'bodhi_sessions'
   */
  readonly table?: string | undefined
  /**
   * The most connections that this service holds at once. Each service has a pool of its own: nodes times connections
   * must stay below the server's `max_connections`.
   * @default 10
   */
  readonly maxConnections?: number | undefined
  /**
   * The most operations that wait for a connection. One more is refused at once with BackendUnavailableError, so that
   * an outage does not fill the memory.
   * @default 10_000
   */
  readonly maxQueued?: number | undefined
  /**
   * Milliseconds until an attempt to connect, or the wait for a free connection, fails with BackendUnavailableError.
   * @default 5_000
   */
  readonly connectTimeoutMs?: number | undefined
  /**
   * Milliseconds until a statement is cancelled with BackendUnavailableError.
   * @default 10_000
   */
  readonly statementTimeoutMs?: number | undefined
  /**
   * Milliseconds until the wait for a row or table lock is given up. One that is not below `statementTimeoutMs` never
   * comes into play.
   * @default 2_000
   */
  readonly lockTimeoutMs?: number | undefined
  /**
   * Whether statements are prepared on the server under a name. They switch themselves off behind a pooler that does
   * not carry them; `false` does without from the start.
   * @default true
   */
  readonly preparedStatements?: boolean | undefined
  /**
   * TLS: `true`, `false`, or options of `node:tls` such as `{ ca, rejectUnauthorized: true }`. Wins over the `ssl…`
   * parameters of the URL. Without it the URL decides.
   */
  readonly ssl?: boolean | TlsConnectionOptions | undefined
  /**
   * Called for each new connection: for passwords that change, such as the tokens of a cloud's IAM. Wins over a
   * password in the URL.
   * @example
   * { password: async () => (await readFile('/run/secrets/db-password', 'utf8')).trim() }
   */
  readonly password?: (() => string | Promise<string>) | undefined
  /**
   * What `pg_stat_activity` shows for the connections: 1 to 63 printable ASCII characters.
   * @default 'bodhi-session'
   */
  readonly applicationName?: string | undefined
  /**
   * Whether `connect` creates and upgrades the schema. With `false` it only checks, and throws SchemaError where
   * something is missing: for a role that may not run DDL.
   * @default true
   */
  readonly migrate?: boolean | undefined
}

/** How the service uses SQLite. Ignored with any other store. */
export interface SqliteOptions {
  /**
   * The table of the sessions: at most 47 ASCII letters, digits and underscores, not starting with a digit or with
   * `sqlite_`.
   * @default 'bodhi_sessions'
   */
  readonly table?: string | undefined
  /**
   * Milliseconds to wait for another process that is writing, without blocking the event loop; then
   * BackendUnavailableError. 0: do not wait.
   * @default 5_000
   */
  readonly busyTimeoutMs?: number | undefined
  /**
   * `'normal'`: a power loss may undo the last saves, never the end of a session, and never harms the file. `'full'`:
   * every save survives a power loss too, at the cost of one fsync each.
   * @default 'normal'
   */
  readonly durability?: 'normal' | 'full' | undefined
}

/**
 * The options of a session service. All are optional; a member that is `undefined` counts as missing. An unknown or
 * invalid one throws ConfigurationError, which says which, what it got and what is allowed.
 *
 * @example
 * const options: SessionServiceOptions<MyData> = {
 *   idleTimeoutMs: 30 * 60_000,
 *   absoluteTimeoutMs: 12 * 3_600_000,
 *   userIdOf: (data) => data.account?.id,
 *   postgres: { maxConnections: 20 }
 * }
 */
export interface SessionServiceOptions<T extends object = Record<string, unknown>> {
  /**
   * Milliseconds without use after which a session ends.
   * @default 86_400_000 (24 hours)
   */
  readonly idleTimeoutMs?: number | undefined
  /**
   * Milliseconds after which a session ends, however busy, counted from its creation or its last change of user. At
   * least `idleTimeoutMs`. The default is the limit of NIST SP 800-63B for AAL1.
   * @default 2_592_000_000 (30 days)
   */
  readonly absoluteTimeoutMs?: number | undefined
  /**
   * A touch that would extend a session by less than this many milliseconds is not written. At most a tenth of
   * `idleTimeoutMs`, so that a session in use never runs out. 0: every touch writes.
   * @default 60_000 (1 minute), or a tenth of `idleTimeoutMs` if that is less
   */
  readonly touchAfterMs?: number | undefined
  /**
   * Milliseconds for which an ended session's id is remembered, so that a request that was in flight cannot bring it
   * back. At least 1,000; choose it longer than the longest request.
   * @default 86_400_000 (24 hours)
   */
  readonly tombstoneMs?: number | undefined
  /**
   * Milliseconds between two removals of expired rows, jittered so that nodes do not run in step. 0: never by itself;
   * then call `pruneExpired()`. Expired sessions are never returned, pruned or not.
   * @default 900_000 (15 minutes)
   */
  readonly pruneIntervalMs?: number | undefined
  /**
   * The user that a session belongs to, read from its data on every write. `null` or `undefined`: nobody is signed in.
   * An empty string, or anything but a string or a number, is an error. Without it: `data.user_id`, else `data.userId`,
   * else `data.passport.user` or its `id`.
   * @example
   * { userIdOf: (data) => data.account?.id }
   */
  readonly userIdOf?: UserIdOf<T> | undefined
  /**
   * The most bytes that a session's data may take as JSON in UTF-8; more is refused with DataError.
   * @default 1_048_576 (1 MiB)
   */
  readonly maxDataBytes?: number | undefined
  /**
   * Separates applications that share one table: each sees, counts, prunes and clears only its own. 1 to 255 bytes.
   * @default 'sessions'
   */
  readonly namespace?: string | undefined
  readonly postgres?: PostgresOptions | undefined
  readonly sqlite?: SqliteOptions | undefined
}

type Resolved<O> = { readonly [K in keyof O]-?: Exclude<O[K], undefined> }

export type ResolvedPostgresOptions = Resolved<Omit<PostgresOptions, 'ssl' | 'password'>> & {
  readonly ssl: PostgresOptions['ssl']
  readonly password: PostgresOptions['password']
}
export type ResolvedSqliteOptions = Resolved<SqliteOptions>

/** {@link SessionServiceOptions} checked, with every default filled in, and frozen. */
export interface ResolvedOptions<T extends object = Record<string, unknown>>
  extends Resolved<Omit<SessionServiceOptions<T>, 'userIdOf' | 'postgres' | 'sqlite'>> {
  readonly userIdOf: UserIdOf<T> | undefined
  readonly postgres: ResolvedPostgresOptions
  readonly sqlite: ResolvedSqliteOptions
}

const table = (reservedPrefix: string) =>
  identifier('bodhi_sessions', { maxLength: MAX_NAME_LENGTH - NAME_SUFFIX_LENGTH, reservedPrefix })

const timeout = (fallback: number, min = 1) =>
  wholeNumber(fallback, { min, max: MAX_TIMER_MS, unit: 'milliseconds' })

const duration = (fallback: number, min = 1) =>
  wholeNumber(fallback, { min, max: MAX_DURATION_MS, unit: 'milliseconds' })

const POSTGRES_RULES: OptionRules<ResolvedPostgresOptions> = {
  schema: identifier('public', { maxLength: MAX_NAME_LENGTH, reservedPrefix: 'pg_' }),
  table: table('pg_'),
  maxConnections: wholeNumber(10, { min: 1, max: MAX_CONNECTIONS }),
  maxQueued: wholeNumber(10_000, { min: 1, max: 10_000_000 }),
  connectTimeoutMs: timeout(5 * SECOND),
  statementTimeoutMs: timeout(10 * SECOND),
  lockTimeoutMs: timeout(2 * SECOND),
  preparedStatements: flag(true),
  ssl: {
    ...optional<boolean | TlsConnectionOptions>(
      (value) => typeof value === 'boolean' || (isObject(value) && !Array.isArray(value)),
      'true, false or an object of TLS options'
    ),
    secret: true
  },
  password: {
    ...optional<() => string | Promise<string>>(
      isFunction,
      'a function that returns the password or a promise of it'
    ),
    secret: true
  },
  applicationName: text(
    'bodhi-session',
    (value) => /^[\x20-\x7e]{1,63}$/.test(value),
    '1 to 63 printable ASCII characters'
  ),
  migrate: flag(true)
}

const SQLITE_RULES: OptionRules<ResolvedSqliteOptions> = {
  table: table('sqlite_'),
  busyTimeoutMs: timeout(5 * SECOND, 0),
  durability: oneOf('normal', ['normal', 'full'])
}

/** The members of the service's own options that one rule decides, without a look at the others. */
type PlainOptions = Omit<ResolvedOptions<never>, 'touchAfterMs' | 'postgres' | 'sqlite'> & {
  readonly touchAfterMs: number | undefined
  readonly postgres: unknown
  readonly sqlite: unknown
}

/** Has rules of its own, by which it is checked when its turn comes. */
const GROUP = optional<unknown>(() => true, 'an object')

const SERVICE_RULES: OptionRules<PlainOptions> = {
  idleTimeoutMs: duration(DAY),
  absoluteTimeoutMs: duration(30 * DAY),
  touchAfterMs: { ...duration(MINUTE, 0), fallback: undefined },
  tombstoneMs: duration(DAY, SECOND),
  pruneIntervalMs: wholeNumber(15 * MINUTE, { min: 0, max: MAX_INTERVAL_MS, unit: 'milliseconds' }),
  userIdOf: optional<UserIdOf<never>>(isFunction, 'a function from the data to its user id'),
  maxDataBytes: wholeNumber(1024 * 1024, { min: 2, max: MAX_DATA_BYTES, unit: 'bytes' }),
  namespace: text('sessions', isNamespace, 'well-formed text of 1 to 255 bytes without NUL'),
  postgres: GROUP,
  sqlite: GROUP
}

/**
 * Checks the options once and fills in the defaults; the result is frozen.
 * @param nameOf What messages call an option, given its path (`postgres.table`): for options that came from variables.
 * @throws ConfigurationError `SESSION_CONFIGURATION` for the first option that is unknown or invalid.
 */
export function resolveOptions<T extends object = Record<string, unknown>>(
  options: SessionServiceOptions<T> | undefined,
  nameOf: (option: string) => string = (option) => option
): ResolvedOptions<T> {
  const own = applyRules(options, SERVICE_RULES, '', nameOf)
  const { idleTimeoutMs, absoluteTimeoutMs } = own
  if (absoluteTimeoutMs < idleTimeoutMs) {
    throw new ConfigurationError(
      `${nameOf('absoluteTimeoutMs')} must be at least ${nameOf('idleTimeoutMs')}, but ${absoluteTimeoutMs} is less ` +
        `than ${idleTimeoutMs}. Raise the one or lower the other.`
    )
  }
  const maxTouchAfterMs = Math.floor(idleTimeoutMs / 10)
  const { touchAfterMs = Math.min(MINUTE, maxTouchAfterMs) } = own
  if (touchAfterMs > maxTouchAfterMs) {
    throw new ConfigurationError(
      `${nameOf('touchAfterMs')} must be at most a tenth of ${nameOf('idleTimeoutMs')}, so at most ` +
        `${maxTouchAfterMs}, but got ${touchAfterMs}.`
    )
  }
  return Object.freeze({
    ...own,
    userIdOf: own.userIdOf as UserIdOf<T> | undefined, // known to be a function; what of is the caller's word
    touchAfterMs,
    postgres: applyRules(own.postgres, POSTGRES_RULES, 'postgres', nameOf),
    sqlite: applyRules(own.sqlite, SQLITE_RULES, 'sqlite', nameOf)
  })
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function isFunction(value: unknown): boolean {
  return typeof value === 'function'
}

function isNamespace(value: string): boolean {
  const bytes = Buffer.byteLength(value)
  return bytes >= 1 && bytes <= 255 && !value.includes('\0') && value.isWellFormed()
}
