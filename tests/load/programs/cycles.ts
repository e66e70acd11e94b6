import pg from 'pg'
import { DefaultSessionService } from '../../../src/index.ts'

/** Creates, loads and destroys sessions, 32 at a time, and tells before and after what the process holds. */
const CALLERS = 32
const WARM_UP = 3_000
const CYCLES = 10_000

const [url = ''] = process.argv.slice(2)

// As many connections as the store keeps busy at this load: with more, a slow moment would open further ones, as it should.
await using sessions = await DefaultSessionService.connect(url, { postgres: { maxConnections: 4 } })
await run(WARM_UP)
process.send?.(await resources())
await run(CYCLES)
process.send?.(await resources())
process.disconnect?.()

async function run(cycles: number): Promise<void> {
  let left = cycles
  const caller = async () => {
    while (left-- > 0) {
      const { token } = await sessions.create({ user_id: `user ${left}`, filler: 'x'.repeat(500) })
      const session = await sessions.load(token)
      if (session?.userId !== `user ${session?.data['user_id']}`.slice(5))
        throw new Error('The session is not as it was created')
      if (!(await sessions.destroy(token))) throw new Error('The session was gone')
    }
  }
  await Promise.all(Array.from({ length: CALLERS }, caller))
}

async function resources() {
  const connections = await openConnections()
  // Twice: what the first round finalises is freed by the second.
  for (let round = 0; round < 2; round++) {
    await new Promise((resolve) => setImmediate(resolve))
    globalThis.gc?.()
  }
  return {
    heapBytes: process.memoryUsage().heapUsed,
    handles: process.getActiveResourcesInfo().sort(),
    connections
  }
}

async function openConnections(): Promise<number> {
  if (url.startsWith('sqlite:')) return 1
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rows } = await client.query<{ count: number }>(
      `select count(*)::int as count from pg_stat_activity
        where datname = current_database() and application_name = 'bodhi-session'`
    )
    return rows[0]?.count ?? 0
  } finally {
    await client.end()
  }
}
