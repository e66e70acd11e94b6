import { expect, test } from 'vitest'
import { DefaultSessionService } from '../../src/index.ts'
import { runProgram } from './run-program.ts'
import { BACKENDS, STORES } from './stores.ts'

test.each(BACKENDS)('a process on %s ends by itself after close(), and only then', async (backend) => {
  await using store = await STORES[backend]()
  const { code, signal, output } = await runProgram('use-and-close', [store.url])
  // Beyond its own end nothing stops this program: one that hangs runs into the time-out of the test.
  expect({ code, signal, output }).toEqual({ code: 0, signal: null, output: 'used\nclosed\nended\n' })
})

test.each(BACKENDS)(
  'close() on %s answers what was called before, and refuses what comes after',
  async (backend) => {
    await using store = await STORES[backend]()
    const sessions = await DefaultSessionService.connect<{ n: number }>(store.url)
    const victim = await sessions.create({ n: -1 })
    const before = Array.from({ length: 2_000 }, (_, n) => sessions.create({ n }))
    const ending = sessions.destroy(victim.token)
    const closed = sessions.close()
    const after = sessions.load(victim.token)

    await expect(after).rejects.toMatchObject({ code: 'SESSION_CLOSED' })
    const created = await Promise.all(before)
    expect(await ending).toBe(true)
    await closed

    await using again = await DefaultSessionService.connect<{ n: number }>(store.url)
    expect(await again.countSessions()).toBe(created.length)
    expect((await again.load(created.at(-1)?.token ?? ''))?.data).toEqual({ n: 1_999 })
    expect(await again.load(victim.token)).toBeUndefined()
  }
)
