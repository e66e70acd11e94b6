import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { textArray } from '../../../src/backends/postgres/binary-array.ts'
import { ConnectionPool } from '../../../src/backends/postgres/pool.ts'
import type { Statement } from '../../../src/backends/postgres/statement.ts'
import { type SessionStatements, sessionStatements } from '../../../src/backends/postgres/statements.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts'
import { openStorage, operator, POOL_OPTIONS, sessionId } from './storage-fixture.ts'

const statements = sessionStatements('bodhi_sessions')
let database: TestDatabase

beforeEach(async (context) => {
  const fresh = await createTestDatabase()
  database = fresh
  context.onTestFinished(() => fresh.drop())
})

async function fillTable(sessions: number): Promise<void> {
  const storage = await openStorage(database.url)
  await storage.disconnect()
  const client = await operator(database.url)
  await client.query(`
    insert into bodhi_sessions
      (namespace, key, value, user_id, version, created_at, last_active_at, expires, expires_bucket)
    select 'sessions', md5(n::text), repeat('x', 900), 'user ' || n % 10000, 1, now, now, now + n::bigint * 60000,
      now / 60000 + n
    from generate_series(1, ${sessions}) n, (select (extract(epoch from now()) * 1000)::bigint as now) clock`)
  if (sessions > 0) await client.query('analyze bodhi_sessions')
}

/** As a connection of the store plans it. */
async function planOf(pool: ConnectionPool, { name, text, parameters }: Statement): Promise<string> {
  await pool.queryText(`prepare "plan of ${name}" as ${text}`, [], 'a test')
  const values = parameters.length > 0 ? `(${parameters.map(() => 'null').join(', ')})` : ''
  const rows = await pool.queryText(`explain execute "plan of ${name}"${values}`, [], 'a test')
  return (rows as Array<{ 'QUERY PLAN': string }>).map((row) => row['QUERY PLAN']).join('\n')
}

/** One statement, or all in a record of them. */
function statementsIn(part: Statement | object): Statement[] {
  return 'parameters' in part ? [part as Statement] : Object.values(part).flatMap(statementsIn)
}

/** These look at every row, by what they are for. */
const WHOLE_TABLE: ReadonlyArray<keyof SessionStatements> = ['count', 'endRest', 'ping']
const BY_KEY: ReadonlyArray<keyof SessionStatements> = [
  'read',
  'putOrRefuse',
  'replace',
  'state',
  'touch',
  'end',
  'rotate',
  'revoke'
]

const tableSizes = test.each([[0], [1], [20], [500], [100_000]])

async function plansOf(
  sessions: number,
  names: ReadonlyArray<keyof SessionStatements>
): Promise<Array<{ name: string; plan: string }>> {
  await fillTable(sessions)
  const pool = new ConnectionPool({ ...POOL_OPTIONS, url: database.url, maxConnections: 1 })
  onTestFinished(() => pool.end())
  const plans: Array<{ name: string; plan: string }> = []
  for (const name of names) {
    for (const statement of statementsIn(statements[name]))
      plans.push({ name, plan: await planOf(pool, statement) })
  }
  return plans
}

tableSizes(
  'with %d sessions in the table, no plan reads all of it, as the same plans will serve a larger one',
  async (sessions) => {
    const names = (Object.keys(statements) as Array<keyof SessionStatements>).filter(
      (name) => !WHOLE_TABLE.includes(name)
    )
    for (const { name, plan } of await plansOf(sessions, names)) {
      expect(plan, name).toMatch(/Index|Insert/)
      expect(plan, name).not.toContain('Seq Scan')
    }
  }
)

tableSizes(
  'with %d sessions in the table, what has a key is looked up by it, in the order in which a batch names its keys',
  async (sessions) => {
    for (const { name, plan } of await plansOf(sessions, BY_KEY)) {
      const scans = plan.match(/Scan .*on bodhi_sessions\b.*\n.*/g) ?? []
      expect(scans.length, `${name}: ${plan}`).toBeGreaterThan(0)
      for (const scan of scans)
        expect(scan, name).toMatch(/^Scan using bodhi_sessions_pkey .*\n\s*Index Cond: \(+key = /)
      expect(plan, name).not.toMatch(/Hash|Merge|Bitmap/)
      const [outer] = plan.match(/Function Scan|Index Scan/) ?? []
      if (plan.includes('Function Scan')) expect(outer, `${name}: ${plan}`).toBe('Function Scan')
    }
  }
)

test('a statement is planned once for each connection, however small the first batches are', async () => {
  await fillTable(0)
  const pool = new ConnectionPool({ ...POOL_OPTIONS, url: database.url, maxConnections: 1 })
  onTestFinished(() => pool.end())
  const { many } = statements.read
  const ids = textArray([sessionId('a'), sessionId('b')])
  for (let i = 0; i < 20; i++)
    await pool.query(many, { namespace: 'sessions', ids, absoluteMs: 1_000 }, 'a test')
  const plans = 'select custom_plans::int, generic_plans::int from pg_prepared_statements where name = $1'
  expect(await pool.queryText(plans, [many.name], 'a test')).toEqual([{ custom_plans: 0, generic_plans: 20 }])
})

test('touches and pruning alone commit without waiting for the disk, and leave the connection as it was', async () => {
  await fillTable(20)
  const storage = await openStorage(database.url, { maxConnections: 1 })
  expect(await storage.insert(sessionId('a'), { value: '{}', userId: null })).toBeDefined()
  const pool = new ConnectionPool({ ...POOL_OPTIONS, url: database.url, maxConnections: 1 })
  onTestFinished(() => pool.end())
  for (const [name, part] of Object.entries(statements)) {
    const isAsynchronous = (statement: Statement) => statement.text.includes('synchronous_commit')
    const some = statementsIn(part).filter(isAsynchronous)
    // Touches for one and for many, without a timeout of their own.
    expect(some, name).toHaveLength({ touch: 2, prune: 1 }[name] ?? 0)
    for (const statement of some) {
      // Asked for before any row is looked at, and not once for each.
      expect(await planOf(pool, statement)).toMatch(/One-Time Filter: .*'off'[\s\S]*Index Scan/)
    }
  }
  expect(await storage.touch(sessionId('a'))).toBeDefined()
  expect(await storage['query']('show synchronous_commit')).toEqual([{ synchronous_commit: 'on' }])
})
