import { expect, test } from 'vitest'
import { brokenRules, type HistoryEvent } from './history.ts'
import { runProgram } from './run-program.ts'
import { BACKENDS, STORES } from './stores.ts'

const PROCESSES = ['one', 'two']
const OPERATIONS = 50_000
const CALLERS = 256
const SLOTS = 500

test.each(BACKENDS)(
  'two processes with 256 callers each on 500 shared sessions of %s see every end and every save of the other, and no error',
  async (backend) => {
    await using store = await STORES[backend]()
    const share = String(OPERATIONS / PROCESSES.length)
    const programs = await Promise.all(
      PROCESSES.map((name) =>
        runProgram('mixed-operations', [store.url, name, share, String(CALLERS), String(SLOTS)])
      )
    )
    for (const { code, output } of programs) expect({ code, output }).toEqual({ code: 0, output: '' })
    const history = programs.flatMap(({ messages }) => messages.flat() as HistoryEvent[]) // what the programs send
    expect(history).toHaveLength(OPERATIONS)
    // Ends that took effect while others were at work: without them the history would prove little.
    expect(history.filter(({ operation, found }) => operation === 'destroy' && found).length).toBeGreaterThan(
      100
    )
    expect(brokenRules(history)).toEqual([])
    if (backend === 'postgres') {
      // One would have been retried, at the cost of a second each.
      const sql = 'select deadlocks::int from pg_stat_database where datname = current_database()'
      expect(await store.execute(sql)).toEqual([{ deadlocks: 0 }])
    }
  },
  180_000
)

test.each<{ rule: string; history: HistoryEvent[] }>([
  {
    rule: 'after its acknowledged end',
    history: [event('put', 0, 1, 'a'), event('destroy', 2, 3), { ...event('load', 4, 5), seen: 'a' }]
  },
  {
    rule: 'nobody had ended it',
    history: [event('put', 0, 1, 'a'), { ...event('load', 2, 3), found: false }]
  },
  {
    rule: 'which had been overwritten before',
    history: [event('put', 0, 1, 'a'), event('save', 2, 3, 'b'), { ...event('load', 4, 5), seen: 'a' }]
  },
  {
    rule: 'which had been overwritten before',
    history: [
      event('put', 0, 1, 'a'),
      event('save', 2, 9, 'b'),
      { ...event('load', 3, 4), seen: 'b' },
      { ...event('load', 5, 6), seen: 'a' }
    ]
  },
  {
    rule: '2 updates started from a',
    history: [
      event('put', 0, 1, 'a'),
      { ...event('update', 2, 8, 'b'), seen: 'a' },
      { ...event('update', 3, 9, 'c'), seen: 'a' }
    ]
  }
])('the rules notice a store that breaks them: "$rule"', ({ rule, history }) => {
  expect(brokenRules(history).join('\n')).toContain(rule)
})

function event(
  operation: HistoryEvent['operation'],
  start: number,
  end: number,
  wrote?: string
): HistoryEvent {
  return { token: 't', operation, start, end, found: true, ...(wrote === undefined ? {} : { wrote }) }
}
