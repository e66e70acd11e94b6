import { randomBytes } from 'node:crypto'
import pg from 'pg'
import type { BenchData, Contender, ContenderSetup } from '../harness/contender.ts'
import { expiryOf } from '../harness/workload.ts'

/** A kind of statement for many calls at once; answers come back by key. */
interface Kind {
  readonly name: string
  readonly text: string
  readonly parametersOf: (
    calls: ReadonlyArray<readonly [key: string, value: string, expires: number]>
  ) => unknown[]
}

interface Waiting {
  readonly call: readonly [key: string, value: string, expires: number]
  readonly resolve: (value: string | undefined) => void
  readonly reject: (error: unknown) => void
}

const READ_LANES = 2
const MAX_ROWS = 256

/**
 * How far batches that form by themselves can go on this machine: calls that wait leave together, and nothing is promised.
 * No order between calls on one session, no limits, no time-outs, no errors told apart, no ids, no clock but ours, one
 * process. What a store adds to that can be read from the distance to it.
 */
export async function openBareBatches({ location, connections }: ContenderSetup): Promise<Contender> {
  const pool = new pg.Pool({ connectionString: location, max: connections })
  await pool.query(`
    create table if not exists bare_sessions (
      key text primary key,
      value text not null,
      expires bigint not null
    ) with (fillfactor = 70)`)

  function lanes(count: number, kind: Kind): (...call: Waiting['call']) => Promise<string | undefined> {
    let waiting: Waiting[] = []
    let free = count
    let isScheduled = false
    const schedule = () => {
      if (isScheduled) return
      isScheduled = true
      setImmediate(() => {
        isScheduled = false
        while (free > 0 && waiting.length > 0) {
          const batch = waiting.slice(0, MAX_ROWS)
          waiting = waiting.slice(MAX_ROWS)
          void send(batch)
        }
      })
    }
    const send = async (batch: readonly Waiting[]) => {
      free--
      try {
        const values = kind.parametersOf([...new Map(batch.map(({ call }) => [call[0], call])).values()])
        const { rows } = await pool.query<[string, string]>({
          name: kind.name,
          text: kind.text,
          values,
          rowMode: 'array'
        })
        const answers = new Map(rows)
        for (const { call, resolve } of batch) resolve(answers.get(call[0]))
      } catch (error) {
        for (const { reject } of batch) reject(error)
      } finally {
        free++
        schedule()
      }
    }
    return (...call) =>
      new Promise((resolve, reject) => {
        waiting.push({ call, resolve, reject })
        schedule()
      })
  }

  const keysOf = (calls: ReadonlyArray<Waiting['call']>) => calls.map(([key]) => key)
  const read = lanes(READ_LANES, {
    name: 'load',
    text: 'select key, value from bare_sessions where key = any($1::text[]) and expires > $2',
    parametersOf: (calls) => [keysOf(calls), Date.now()]
  })
  // One lane: two batches of one process would deadlock.
  const write = lanes(1, {
    name: 'save',
    text: `insert into bare_sessions (key, value, expires) select * from unnest($1::text[], $2::text[], $3::bigint[])
      on conflict (key) do update set value = excluded.value, expires = excluded.expires`,
    parametersOf: (calls) => [keysOf(calls), calls.map(([, value]) => value), calls.map(([, , at]) => at)]
  })
  const touch = lanes(1, {
    name: 'touch',
    text: `update bare_sessions s set expires = p.expires from unnest($1::text[], $2::bigint[]) as p (key, expires)
      where s.key = p.key`,
    parametersOf: (calls) => [keysOf(calls), calls.map(([, , at]) => at)]
  })
  const end = lanes(1, {
    name: 'destroy',
    text: 'delete from bare_sessions where key = any($1::text[])',
    parametersOf: (calls) => [keysOf(calls)]
  })

  const save = (key: string, data: BenchData) => write(key, JSON.stringify(data), expiryOf(data))
  return {
    async fill(entries) {
      await Promise.all(entries.map(([key, data]) => save(key, data)))
    },
    async load(key) {
      const value = await read(key, '', 0)
      return value === undefined ? undefined : JSON.parse(value)
    },
    save,
    touch: (key, cookie) => touch(key, '', expiryOf({ cookie })),
    async create(data) {
      const key = randomBytes(24).toString('base64url')
      await save(key, data)
      return key
    },
    destroy: (key) => end(key, '', 0),
    close: () => pool.end()
  }
}
