import type { Keyv } from 'keyv'
import { type Row, rowText } from '../../../src/backends/keyv/entries.ts'
import { inTurn } from '../../../src/backends/keyv/keyed-turns.ts'
import type { SessionServiceOptions } from '../../../src/config/options.ts'
import { DefaultSessionService } from '../../../src/default-session-service.ts'
import { collect } from '../../../src/testing/contract/subject.ts'
import type { ContractStore } from '../../../src/testing/session-contract.ts'

const DAY = 86_400_000

/**
 * A store of the contract over any Keyv: each service gets a Keyv of its own, as each node would have.
 * @param openKeyv Gives a Keyv on one and the same store each time.
 */
export function keyvStore(openKeyv: () => Keyv, close: () => Promise<void>): ContractStore {
  const hands = openKeyv()
  const services: AsyncDisposable[] = []

  async function* entries(): AsyncGenerator<[key: string, text: string]> {
    for await (const [key, text] of hands.iterator()) yield [String(key), String(text)]
  }

  /** Rewrites what stands under a key, in the turn of the session that it belongs to. */
  async function rewrite(key: string, change: (text: string) => string): Promise<void> {
    const session = key.startsWith('user/') ? key : key.slice(key.lastIndexOf('/') + 1)
    await inTurn(session, async () => {
      const text = await hands.get<string>(key)
      if (text !== undefined) await hands.set(key, change(text), DAY)
    })
  }

  return {
    async connect<T extends object>(options?: SessionServiceOptions<T>) {
      const service = new DefaultSessionService<T>(openKeyv(), { pruneIntervalMs: 0, ...options })
      services.push(service)
      return service
    },
    async age(ms) {
      for (const [key] of await collect(entries())) await rewrite(key, (text) => aged(key, text, ms))
    },
    async dump() {
      return JSON.stringify(await collect(entries()))
    },
    async countRows() {
      const ids = new Set<string>()
      let isIndexed = false
      for await (const [key] of entries()) {
        if (key.startsWith('user/')) isIndexed = true
        else ids.add(key.slice(key.lastIndexOf('/') + 1))
      }
      // An index without sessions would be a leak.
      return ids.size === 0 && isIndexed ? Number.NaN : ids.size
    },
    async corrupt(id) {
      await rewrite(`session/sessions/${id}`, (text) => `${text.split('\n', 1)[0]}\n{"not json`)
    },
    async close() {
      for (const service of services) await service[Symbol.asyncDispose]()
      await close()
    }
  }
}

/** All times in an entry, earlier by so many milliseconds. */
function aged(key: string, text: string, ms: number): string {
  if (key.startsWith('user/')) {
    const members: Record<string, number> = JSON.parse(text)
    return JSON.stringify(Object.fromEntries(Object.entries(members).map(([id, at]) => [id, at - ms])))
  }
  const end = text.indexOf('\n')
  const header = JSON.parse(end < 0 ? text : text.slice(0, end))
  if (end < 0) return JSON.stringify({ ...header, until: header.until - ms })
  const row: Row = { ...header, value: text.slice(end + 1) }
  return rowText({
    ...row,
    createdAt: row.createdAt - ms,
    lastActiveAt: row.lastActiveAt - ms,
    expiresAt: row.expiresAt - ms
  })
}
