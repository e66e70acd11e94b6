import session from 'express-session'
import type { Contender } from '../harness/contender.ts'
import { type ExpressStore, expressStore } from './express-store.ts'

/** express-session's own store, in memory: what a store that keeps nothing costs. */
export async function openMemoryStore(): Promise<Contender> {
  // Its types ask for express-session's whole Session; what it reads of one is the cookie.
  const store = new session.MemoryStore() as unknown as ExpressStore
  return expressStore(store, async () => {})
}
