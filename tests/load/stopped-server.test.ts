import { expect, test } from 'vitest'
import { BackendUnavailableError, DefaultSessionService } from '../../src/index.ts'
import { startPostgres } from '../support/postgres.ts'

const SESSIONS = 200
const CALLS = 3_000

test.each(['fast', 'immediate'] as const)(
  'every caller is answered once when the server stops (%s) in the middle of batches, and what was acknowledged holds',
  async (mode) => {
    await using server = await startPostgres()
    await using sessions = await DefaultSessionService.connect<{ n: number }>(server.url, {
      touchAfterMs: 0,
      postgres: { connectTimeoutMs: 2_000 }
    })
    const made = await Promise.all(Array.from({ length: SESSIONS }, () => sessions.create({ n: 0 })))
    const tokens = made.map(({ token }) => token)
    /** By session: the last save that was acknowledged, and those that may have happened since. */
    const acknowledged = tokens.map(() => 0)
    const possible = tokens.map(() => new Set([0]))
    const ended = new Set<number>()
    const perhapsEnded = new Set<number>()
    const answers = Array.from({ length: CALLS }, () => 0)
    const failures: unknown[] = []
    let answered = 0
    let stopped: Promise<void> | undefined

    const call = async (n: number): Promise<void> => {
      const index = n % SESSIONS
      const token = tokens[index] ?? ''
      if (n % 500 === 499) {
        perhapsEnded.add(index)
        await sessions.destroy(token)
        ended.add(index)
      } else if (n % 3 === 0) {
        possible[index]?.add(n)
        if (!(await sessions.save(token, { n }))) return
        acknowledged[index] = n
        // Calls on one session take effect in their order: what came before this one is gone.
        for (const older of possible[index] ?? []) if (older < n) possible[index]?.delete(older)
      } else if (n % 3 === 1) await sessions.touch(token)
      else await sessions.load(token)
    }
    await Promise.all(
      answers.map(async (_, n) => {
        await call(n).catch((error: unknown) => failures.push(error))
        answers[n] = (answers[n] ?? 0) + 1
        if (++answered === CALLS / 10) stopped = server.stop(mode)
      })
    )
    await stopped
    expect(answers.every((count) => count === 1)).toBe(true)
    expect(failures.length).toBeGreaterThan(0)
    for (const error of failures) expect(error).toBeInstanceOf(BackendUnavailableError)

    await server.start()
    for (const [index, token] of tokens.entries()) {
      const session = await sessions.load(token)
      if (ended.has(index)) expect(session).toBeUndefined()
      else if (session || !perhapsEnded.has(index)) expect(possible[index]).toContain(session?.data.n)
    }
  }
)
