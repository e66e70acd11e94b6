import { resolveOptions } from './options.ts'

/** One variable that sets one option, or the same option of both databases. */
export interface OptionVariable {
  readonly name: `BODHI_SESSION_${string}`
  /** The paths of the options, such as `postgres.table`. */
  readonly options: readonly [string, ...string[]]
  readonly meaning: string
  /** The option's default; its type says how the variable's text is read. */
  readonly default: number | boolean | string
}

const VARIABLES: ReadonlyArray<Omit<OptionVariable, 'default'>> = [
  {
    name: 'BODHI_SESSION_IDLE_TIMEOUT_MS',
    options: ['idleTimeoutMs'],
    meaning: 'A session not used for this long ends'
  },
  {
    name: 'BODHI_SESSION_ABSOLUTE_TIMEOUT_MS',
    options: ['absoluteTimeoutMs'],
    meaning: 'A session this old ends, however busy'
  },
  {
    name: 'BODHI_SESSION_TOUCH_AFTER_MS',
    options: ['touchAfterMs'],
    meaning: 'A touch that gains less than this is not written; at most a tenth of the idle timeout'
  },
  {
    name: 'BODHI_SESSION_TOMBSTONE_MS',
    options: ['tombstoneMs'],
    meaning: 'How long an ended session is remembered, so that nothing revives it'
  },
  {
    name: 'BODHI_SESSION_PRUNE_INTERVAL_MS',
    options: ['pruneIntervalMs'],
    meaning: 'Time between two removals of expired rows; 0: never'
  },
  {
    name: 'BODHI_SESSION_MAX_DATA_BYTES',
    options: ['maxDataBytes'],
    meaning: 'The most bytes that the data of one session may take as JSON'
  },
  {
    name: 'BODHI_SESSION_NAMESPACE',
    options: ['namespace'],
    meaning: 'Separates applications that share a table'
  },
  {
    name: 'BODHI_SESSION_TABLE',
    options: ['postgres.table', 'sqlite.table'],
    meaning: 'The table of the sessions'
  },
  {
    name: 'BODHI_SESSION_SCHEMA',
    options: ['postgres.schema'],
    meaning: 'PostgreSQL: the schema that holds the table'
  },
  {
    name: 'BODHI_SESSION_MAX_CONNECTIONS',
    options: ['postgres.maxConnections'],
    meaning: 'PostgreSQL: the most connections of one service'
  },
  {
    name: 'BODHI_SESSION_MAX_QUEUED',
    options: ['postgres.maxQueued'],
    meaning: 'PostgreSQL: the most operations that wait for a connection'
  },
  {
    name: 'BODHI_SESSION_CONNECT_TIMEOUT_MS',
    options: ['postgres.connectTimeoutMs'],
    meaning: 'PostgreSQL: limit for connecting, and for the wait for a connection'
  },
  {
    name: 'BODHI_SESSION_STATEMENT_TIMEOUT_MS',
    options: ['postgres.statementTimeoutMs'],
    meaning: 'PostgreSQL: limit for one statement'
  },
  {
    name: 'BODHI_SESSION_LOCK_TIMEOUT_MS',
    options: ['postgres.lockTimeoutMs'],
    meaning: 'PostgreSQL: limit for the wait for a lock'
  },
  {
    name: 'BODHI_SESSION_PREPARED_STATEMENTS',
    options: ['postgres.preparedStatements'],
    meaning: 'PostgreSQL: whether statements are prepared by name'
  },
  {
    name: 'BODHI_SESSION_APPLICATION_NAME',
    options: ['postgres.applicationName'],
    meaning: 'PostgreSQL: what pg_stat_activity shows'
  },
  {
    name: 'BODHI_SESSION_MIGRATE',
    options: ['postgres.migrate'],
    meaning: 'PostgreSQL: whether starting creates and upgrades the schema'
  },
  {
    name: 'BODHI_SESSION_BUSY_TIMEOUT_MS',
    options: ['sqlite.busyTimeoutMs'],
    meaning: 'SQLite: how long to wait for another process that writes'
  },
  {
    name: 'BODHI_SESSION_DURABILITY',
    options: ['sqlite.durability'],
    meaning: 'SQLite: `full` lets every save survive a power loss'
  }
]

const DEFAULTS = resolveOptions(undefined)

/** Every variable that sets an option, under its name with the default prefix. */
export const ENVIRONMENT_VARIABLES: readonly OptionVariable[] = VARIABLES.map((variable) => ({
  ...variable,
  default: defaultOf(variable.options[0])
}))

function defaultOf(option: string): OptionVariable['default'] {
  const value = option.split('.').reduce<unknown>((tree, key) => Reflect.get(Object(tree), key), DEFAULTS)
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'string') return value
  throw new TypeError(`No variable can set ${option}: it has no default to tell its type by.`)
}
