import { DefaultSessionService } from '../../../src/index.ts'
import type { HistoryEvent, Operation } from '../history.ts'

/*
 * One of several processes that work on the same sessions, with many callers each. Sends its history to its parent. A
 * session that is found ended is followed by the next generation of its slot, so that the shared set keeps its size.
 */

const [url = '', name = '', operations = '', callers = '', slots = ''] = process.argv.slice(2)

interface Marked {
  /** The operation that wrote it. */
  readonly mark: string
  readonly user_id: string
  readonly filler: string
}

const FILLER = 'x'.repeat(600)

await using sessions = await DefaultSessionService.connect<Marked>(url, {
  touchAfterMs: 0,
  pruneIntervalMs: 50
})
const generations: number[] = Array.from({ length: Number(slots) }, () => 0)
const history: HistoryEvent[] = []
let left = Number(operations)

await Promise.all(Array.from({ length: Number(callers) }, caller))
await new Promise<void>((resolve, reject) => {
  process.send?.(history, undefined, {}, (error) => (error ? reject(error) : resolve()))
})
process.disconnect?.()

async function caller(): Promise<void> {
  while (left > 0) {
    const mark = `${name}-${left--}`
    const slot = Math.floor(Math.random() * generations.length)
    const generation = generations[slot] ?? 0
    const token = `slot ${slot}, generation ${generation}`
    const operation = chosen()
    const start = now()
    const outcome = await run(operation, token, mark)
    history.push({ token, operation, start, end: now(), ...outcome })
    // A put that stores nothing has met an ended session; anything else may merely have come before the first put.
    if (operation !== 'put' || outcome.found) continue
    generations[slot] = Math.max(generations[slot] ?? 0, generation + 1)
  }
}

type Outcome = Pick<HistoryEvent, 'found' | 'seen' | 'wrote'>

async function run(operation: Operation, token: string, mark: string): Promise<Outcome> {
  const data: Marked = { mark, user_id: `user ${mark.length % 7}`, filler: FILLER }
  switch (operation) {
    case 'load': {
      const session = await sessions.load(token)
      return session ? { found: true, seen: session.data.mark } : { found: false }
    }
    case 'save':
      return { found: await sessions.save(token, data), wrote: mark }
    case 'touch':
      return { found: await sessions.touch(token) }
    case 'update': {
      let seen = ''
      const session = await sessions.update(token, (found) => {
        seen = found.mark
        return { ...found, mark }
      })
      return session ? { found: true, seen, wrote: mark } : { found: false }
    }
    case 'put':
      return { found: (await sessions.put(token, data, { ifMissing: 'insert' })) === 'stored', wrote: mark }
    case 'destroy':
      return { found: await sessions.destroy(token) }
  }
}

function chosen(): Operation {
  const dice = Math.random()
  if (dice < 0.45) return 'load'
  if (dice < 0.6) return 'touch'
  if (dice < 0.72) return 'save'
  if (dice < 0.84) return 'update'
  if (dice < 0.96) return 'put'
  return 'destroy'
}

/** Milliseconds on a clock that all processes of the machine share. */
function now(): number {
  return Number(process.hrtime.bigint()) / 1e6
}
