import { BackendUnavailableError, SchemaError } from '../../core/errors.ts'
import type { ConnectionPool, RunSql } from './pool.ts'

/*
 * The numbered migrations and the table that records them. A library meets three kinds of schema: the one it knows, an
 * older one, which it migrates, and a newer one, which a newer node has migrated during a rolling upgrade. Each migration
 * records the oldest schema version whose library may run beside it, so that only what would really break refuses.
 */

export interface TableName {
  readonly schema: string
  readonly table: string
}

interface Migration {
  readonly version: number
  /** Libraries that know only this version, or a later one, may run on the schema that the migration leaves. */
  readonly oldestCompatible: number
  readonly statements: (name: QuotedName) => readonly string[]
}

interface QuotedName {
  readonly schema: string
  readonly table: string
  readonly migrations: string
}

interface SchemaState {
  readonly version: number
  readonly oldestCompatible: number
}

/** Long enough for the slowest of many nodes that start together; each holds the lock for some milliseconds. */
const MIGRATION_TIMEOUT_MS = 120_000
/** One lock for all tables of a database, as two of them may share the schema that has to be created. */
const MIGRATION_LOCK = `select pg_advisory_xact_lock(hashtextextended('bodhi-session migrations', 0))`

const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    oldestCompatible: 1,
    statements: ({ table }) => [
      // The columns that a touch changes lead, side by side: the write-ahead log then holds only them. Keys compare by
      // their bytes, whatever the database's collation, so that all nodes lock rows in one order. The namespace comes last
      // in every index: where it led, plans made while the table was small found a session by reading its whole namespace.
      `create table ${table} (
        expires bigint not null,
        last_active_at bigint not null,
        created_at bigint not null,
        idle_timeout bigint,
        version integer not null,
        expires_bucket integer not null,
        namespace text collate "C" not null,
        key text collate "C" not null,
        user_id text collate "C",
        successor text collate "C",
        value text,
        primary key (key, namespace)
      ) with (
        fillfactor = 70,
        autovacuum_vacuum_scale_factor = 0.02,
        autovacuum_vacuum_threshold = 1000,
        autovacuum_analyze_scale_factor = 0.05,
        autovacuum_vacuum_insert_scale_factor = 0.05
      )`,
      `comment on table ${table} is
        'Sessions of bodhi-session. Times are milliseconds since 1970-01-01 UTC. No value: a tombstone.'`,
      `comment on column ${table}.expires_bucket is 'A lower bound of expires, in minutes: what pruning looks up.'`,
      `create index on ${table} (user_id, namespace) where user_id is not null`,
      `create index on ${table} (expires_bucket, namespace)`
    ]
  }
]

/** The version of the schema that this library writes. */
export const SCHEMA_VERSION = MIGRATIONS.length

/** Identifiers are validated by the options; quoting keeps their case. */
export function quotedTable({ schema, table }: TableName): string {
  return `${quote(schema)}.${quote(table)}`
}

/**
 * Makes sure that the table is there in a form that this library can use. On a current schema this is two short
 * reads of catalogue and version table: no DDL, and no lock that anybody could queue behind.
 */
export async function ensureSchema(pool: ConnectionPool, name: TableName, migrate: boolean): Promise<void> {
  const quoted = {
    schema: quote(name.schema),
    table: quotedTable(name),
    migrations: quotedTable({ schema: name.schema, table: `${name.table}_migrations` })
  }
  const doing = `looking at the schema of ${quoted.table}`
  const ask = ((text) => pool.queryText(text, [], doing)) as RunSql // each query names the columns of its type
  const state = await schemaState(ask, quoted)
  if (isUsable(state, quoted)) return
  if (!migrate) {
    throw new SchemaError(
      `The table ${quoted.table} ${state.version === 0 ? 'does not exist' : `has schema version ${state.version}`}, this ` +
        `library needs version ${SCHEMA_VERSION}, and the option migrate is false. Run "npx bodhi-session migrate", or set migrate to true.`
    )
  }
  await pool.transaction(
    (run) => runMigrations(run, name, quoted),
    `migrating ${quoted.table}`,
    MIGRATION_TIMEOUT_MS
  )
}

async function runMigrations(run: RunSql, name: TableName, quoted: QuotedName): Promise<void> {
  await run(`set local statement_timeout = ${MIGRATION_TIMEOUT_MS}`)
  await run(`set local lock_timeout = ${MIGRATION_TIMEOUT_MS}`)
  await run(MIGRATION_LOCK)
  // Another node may have done it all while this one waited.
  const state = await schemaState(run, quoted)
  if (isUsable(state, quoted)) return
  if (state.version === 0) {
    // "if not exists" would ask for the right to create schemas even where there is nothing to create.
    const schemas = await run('select from pg_namespace where nspname = $1', [name.schema])
    if (schemas.length === 0) await run(`create schema ${quoted.schema}`)
    await run(`
      create table ${quoted.migrations} (
        version integer primary key,
        oldest_compatible integer not null,
        applied_at timestamptz not null default now()
      )`)
  }
  for (const migration of MIGRATIONS.filter(({ version }) => version > state.version)) {
    for (const ddl of migration.statements(quoted)) await run(ddl)
    await run(`insert into ${quoted.migrations} (version, oldest_compatible) values ($1, $2)`, [
      migration.version,
      migration.oldestCompatible
    ])
  }
}

async function schemaState(run: RunSql, { table, migrations }: QuotedName): Promise<SchemaState> {
  // to_regclass answers from a cache that remembers a missing table until this session locks some relation in its
  // transaction. Reading pg_class does: without it, the node that waited for another's migration would not see it.
  const [found] = await run<{ isStandby: boolean; hasTable: boolean; hasMigrations: boolean }>(`
    select pg_is_in_recovery() as "isStandby",
      to_regclass('${table}') is not null as "hasTable",
      to_regclass('${migrations}') is not null as "hasMigrations"
    from pg_class where oid = 'pg_catalog.pg_class'::regclass`)
  if (found === undefined)
    throw new SchemaError('PostgreSQL answered a question about its catalogue with nothing.')
  if (found.isStandby) {
    throw new BackendUnavailableError(
      'PostgreSQL: the server is a standby or in recovery, and takes no writes. Connect to the primary.'
    )
  }
  if (!found.hasMigrations) {
    if (!found.hasTable) return { version: 0, oldestCompatible: 0 }
    throw new SchemaError(
      `There is a table ${table} that this library has not made: it has no ${migrations} beside it. ` +
        'Choose another name with the option postgres.table (or postgres.schema), or rename that table.'
    )
  }
  if (!found.hasTable) {
    throw new SchemaError(
      `The table ${table} is missing, but ${migrations} says that it was made. Restore it, or drop ${migrations} to start anew.`
    )
  }
  const [state] = await run<SchemaState>(
    `select coalesce(max(version), 0) as version, coalesce(max(oldest_compatible), 0) as "oldestCompatible" from ${migrations}`
  )
  if (state === undefined || state.version === 0) {
    throw new SchemaError(`${migrations} records no version of ${table}. Restore it from a backup.`)
  }
  return state
}

/** False: to be migrated. Throws where a newer library says that this one is too old. */
function isUsable(state: SchemaState, { table }: QuotedName): boolean {
  if (state.oldestCompatible > SCHEMA_VERSION) {
    throw new SchemaError(
      `The table ${table} has schema version ${state.version}, which works with libraries that know version ` +
        `${state.oldestCompatible} or later; this one knows version ${SCHEMA_VERSION}. Upgrade bodhi-session on this node.`
    )
  }
  return state.version >= SCHEMA_VERSION
}

function quote(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`
}
