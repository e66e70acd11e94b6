import { DefaultSessionService, SessionError } from '../../../src/index.ts'

/*
 * Makes 100,000 saves, each with data of its own, faster than any database answers: `perTurn` of them in each turn of the
 * event loop, and none waits for another.
 */
const CALLS = 100_000

const [url = '', perTurn = '', bytes = ''] = process.argv.slice(2)

// The flood keeps the event loop busy for seconds: limits in time are not what it is about.
await using sessions = await DefaultSessionService.connect<{ n: number; filler: string }>(url, {
  postgres: { connectTimeoutMs: 120_000, statementTimeoutMs: 120_000 },
  sqlite: { busyTimeoutMs: 120_000 }
})
const filler = 'x'.repeat(Number(bytes))
const refusals = new Set<string>()
let answered = 0
let refused = 0
const calls: Promise<void>[] = []
for (let n = 0; n < CALLS; n++) {
  calls.push(save(n))
  if (n % Number(perTurn) === 0) await new Promise((resolve) => setImmediate(resolve))
}
await Promise.all(calls)
process.send?.({ answered, refused, refusals: [...refusals], saved: await sessions.countSessions() })
process.disconnect?.()

async function save(n: number): Promise<void> {
  try {
    const outcome = await sessions.put(`session ${n}`, { n, filler: filler + n }, { ifMissing: 'insert' })
    if (outcome === 'stored') answered++
  } catch (error) {
    if (!(error instanceof SessionError)) throw error
    refused++
    refusals.add(`${error.code}: ${error.message}`)
  }
}
