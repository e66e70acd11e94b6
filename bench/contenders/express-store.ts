import { randomBytes } from 'node:crypto'
import type { BenchData, Contender } from '../harness/contender.ts'

type Callback = (error: unknown, result?: unknown) => void

/** What express-session asks of a store. */
export interface ExpressStore {
  get(key: string, callback: Callback): unknown
  set(key: string, data: BenchData, callback: Callback): unknown
  touch(key: string, data: Pick<BenchData, 'cookie'>, callback: Callback): unknown
  destroy(key: string, callback: Callback): unknown
}

/** An express-session store as a contender. */
export function expressStore(
  store: ExpressStore,
  close: () => Promise<void>,
  fill?: Contender['fill']
): Contender {
  const save = (key: string, data: BenchData) => settle((done) => store.set(key, data, done))
  return {
    fill:
      fill ??
      (async (entries) => {
        await Promise.all(entries.map(([key, data]) => save(key, data)))
      }),
    load: (key) => settle((done) => store.get(key, done)),
    save,
    touch: (key, cookie) => settle((done) => store.touch(key, { cookie }, done)),
    async create(data) {
      const key = randomBytes(24).toString('base64url')
      await save(key, data)
      return key
    },
    destroy: (key) => settle((done) => store.destroy(key, done)),
    close
  }
}

function settle(call: (done: Callback) => unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    call((error, result) => (error ? reject(error) : resolve(result)))
  })
}
