import { describe, expect, test } from 'vitest'
import { runProgram } from './run-program.ts'
import { BACKENDS, STORES } from './stores.ts'

const CALLS = 100_000

// As text alone, 100,000 times 16 KB are 1.6 GB. What is refused can let go of its data only when its caller has been told,
// after the turn in which the call was made: within one turn memory grows with the calls, but no further.
describe.each([
  { perTurn: 1_000, bytes: 16_000, heapMb: 400 },
  { perTurn: CALLS, bytes: 1_000, heapMb: 1_000 }
])('100,000 saves at once, $perTurn in a turn, of $bytes bytes', ({ perTurn, bytes, heapMb }) => {
  test.each(BACKENDS)(
    'take bounded memory on %s: each is answered, or refused by an error that says why',
    async (backend) => {
      await using store = await STORES[backend]()
      const args = [store.url, String(perTurn), String(bytes)]
      const { code, output, messages } = await runProgram('flood', args, [`--max-old-space-size=${heapMb}`])
      expect({ code, output }).toEqual({ code: 0, output: '' })
      expect(messages).toHaveLength(1)
      const [result] = messages as [{ answered: number; refused: number; refusals: string[]; saved: number }] // as flood.ts sends it
      expect(result.answered + result.refused).toBe(CALLS)
      expect(result.answered).toBeGreaterThanOrEqual(1_000)
      expect(result.refused).toBeGreaterThanOrEqual(1_000)
      expect(result.saved).toBe(result.answered)
      for (const refusal of result.refusals) {
        expect(refusal).toMatch(/^SESSION_BACKEND_UNAVAILABLE: .*(maxQueued|queue is full|wait)/s)
      }
    },
    180_000
  )
})
