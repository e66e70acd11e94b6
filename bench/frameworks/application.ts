import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { DefaultSessionService } from '../../src/index.ts'
import type { ExpressStore } from '../contenders/express-store.ts'

/** What a server of the bench keeps its sessions in. */
export type SessionKind = 'none' | 'ours' | 'usual'

export interface ServerSetup {
  readonly kind: SessionKind
  readonly dist: string
  /** Ours: the service. */
  readonly sessions?: DefaultSessionService<PageData>
  /** The store that this framework's users would take otherwise. */
  readonly store?: ExpressStore
}

export type PageData = Record<string, unknown>

/** Starts listening on 127.0.0.1, and gives the port. */
export type Serve = (setup: ServerSetup) => Promise<number>

export const SECRET = 'a secret of the bench, which no server has outside of it'
export const SIGN_IN_PATH = '/sign-in'

/** The application: one page for who is signed in, and a sign-in that keeps about 1 KB in the session. */
export function respond(path: string, data: PageData): string {
  if (path === SIGN_IN_PATH) {
    data['userId'] = `user-${Math.floor(Math.random() * 1e9)}`
    data['basket'] = Array.from({ length: 12 }, (_, item) => ({
      sku: `SKU-${item}`,
      count: item,
      price: 1999
    }))
    data['note'] = 'The quick brown fox jumps over the lazy dog. '.repeat(8)
  }
  const basket = data['basket']
  return JSON.stringify({ user: data['userId'], items: Array.isArray(basket) ? basket.length : 0 })
}

/** An entry of the built package, as it is installed. */
export async function builtEntry<Module>(dist: string, name: string): Promise<Module> {
  const entry: unknown = await import(pathToFileURL(join(dist, `${name}.js`)).href)
  return entry as Module // the build of the source that the caller names
}

export function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('The set-up of this server lacks its store')
  return value
}
