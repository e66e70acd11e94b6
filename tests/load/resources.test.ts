import { expect, test } from 'vitest'
import { runProgram } from './run-program.ts'
import { BACKENDS, STORES } from './stores.ts'

interface Resources {
  readonly heapBytes: number
  readonly handles: readonly string[]
  readonly connections: number
}

test.each(BACKENDS)(
  '10,000 sessions that are created, loaded and destroyed on %s leave heap, handles and connections as they were',
  async (backend) => {
    await using store = await STORES[backend]()
    const { code, output, messages } = await runProgram('cycles', [store.url], ['--expose-gc'])
    expect({ code, output }).toEqual({ code: 0, output: '' })
    const [before, after] = messages as [Resources, Resources] // as cycles.ts sends them
    // A leak of 100 bytes for each session would be a megabyte.
    expect(after.heapBytes - before.heapBytes).toBeLessThan(1_000_000)
    expect(after.handles).toEqual(before.handles)
    expect(after.connections).toBe(before.connections)
  }
)
