import { entryOf, openContender } from '../contenders/registry.ts'
import type { Contender } from './contender.ts'
import { measure } from './measure.ts'
import type { Answer, AnswerMessage, Pruned, Request, RequestMessage } from './messages.ts'
import { randomSource } from './statistics.ts'
import { dataOf, Keys } from './workload.ts'

/*
 * The process of one contender: opens its store, then carries out what the runner sends. Contenders live side by side for
 * the whole of a claim, warm, and are measured one at a time.
 */

const FILL_ROWS = 2_000

let contender: Contender | undefined
let isSynchronous = false
let keys = new Keys(0)

process.on('message', ({ id, request }: RequestMessage) => {
  carryOut(request).then(
    (answer) => tell({ id, answer }),
    (error: unknown) =>
      tell({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  )
})
// Some of the stores measured here have timers that would keep the process alive.
process.on('disconnect', () => process.exit())

function tell(message: AnswerMessage): void {
  process.send?.(message)
}

async function carryOut(request: Request): Promise<Answer> {
  switch (request.do) {
    case 'open':
      contender = await openContender(request.name, request.setup)
      isSynchronous = ['sqlite', 'memory'].includes(entryOf(request.name).place)
      return {}
    case 'fill':
      keys = new Keys(request.count)
      if (request.write) await fill(opened())
      return {}
    case 'measure':
      return { figures: await measure(opened(), keys, request.slice, isSynchronous) }
    case 'prune':
      return { pruned: await prune(opened()) }
    case 'close':
      await contender?.close()
      return {}
  }
}

function opened(): Contender {
  if (contender === undefined) throw new Error('No contender is open')
  return contender
}

async function fill(store: Contender): Promise<void> {
  const random = randomSource(1)
  for (let from = 0; from < keys.count; from += FILL_ROWS) {
    const rows = Math.min(FILL_ROWS, keys.count - from)
    await store.fill(Array.from({ length: rows }, (_, n) => [keys.at(from + n), dataOf(from + n, random)]))
  }
}

async function prune(store: Contender): Promise<Pruned> {
  if (store.prune === undefined) throw new Error('This contender does not prune')
  const start = performance.now()
  const rows = await store.prune()
  return { rows, elapsedMs: performance.now() - start }
}
