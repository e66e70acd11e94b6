import { createHash } from 'node:crypto'
import type { BenchCookie, BenchData, Contender } from './contender.ts'

export const OPERATIONS = ['load', 'save', 'touch', 'create+destroy', 'mixed'] as const
export type Operation = (typeof OPERATIONS)[number]

const DAY_MS = 86_400_000
/** Expiries are spread: connect-pg-simple rounds to seconds, and a second touch within one would change nothing. */
const EXPIRY_SPREAD_MS = 3_600_000
const USERS = 10_000
const FILLER = 'The quick brown fox jumps over the lazy dog. '.repeat(12)

/** The key of the n-th session: random to the eye, as real ones are, so that neighbours in time are none in an index. */
export function keyOf(n: number): string {
  return createHash('md5').update(String(n)).digest('hex')
}

const KEY_LENGTH = 32

/**
 * The keys of the first sessions. In one buffer, not as strings: a million strings would make the garbage collector's work
 * for a large store harder than for a small one, and a server gets each token as a new string from a request too.
 */
export class Keys {
  readonly count: number
  readonly #bytes: Buffer

  constructor(count: number) {
    this.count = count
    this.#bytes = Buffer.alloc(count * KEY_LENGTH)
    for (let n = 0; n < count; n++) this.#bytes.write(keyOf(n), n * KEY_LENGTH, 'latin1')
  }

  at(n: number): string {
    return this.#bytes.toString('latin1', n * KEY_LENGTH, (n + 1) * KEY_LENGTH)
  }
}

/** Made once: what building them anew for each call would cost is the bench's, and would be charged to the stores. */
const TEMPLATES = Array.from({ length: 256 }, (_, n) => ({
  csrf: 'mCkIc0Ntu1YhZkO2kQwUQdS0vYHqE7aF',
  flash: ['Welcome back', 'Your order has been sent'],
  preferences: { theme: 'dark', language: 'en-GB', timezone: 'Europe/London', columns: [1, 2, 3, 5, 8] },
  basket: Array.from({ length: 3 }, (_, item) => ({ sku: `SKU-${n}-${item}`, count: item + 1, price: 1999 })),
  note: FILLER
}))

export function dataOf(n: number, random: () => number): BenchData {
  const userId = `user-${n % USERS}`
  return { cookie: cookieOf(random), userId, visits: n, ...TEMPLATES[n % TEMPLATES.length] }
}

export function cookieOf(random: () => number): BenchCookie {
  const expires = new Date(Date.now() + DAY_MS + random() * EXPIRY_SPREAD_MS)
  return { originalMaxAge: DAY_MS, expires: expires.toISOString(), httpOnly: true, path: '/' }
}

/** In milliseconds since the epoch. */
export function expiryOf({ cookie }: Pick<BenchData, 'cookie'>): number {
  return new Date(cookie.expires).getTime()
}

/** Runs one operation and gives how many the store has carried out. */
export type Step = (contender: Contender, keys: Keys, random: () => number) => Promise<number>

export const STEPS: Readonly<Record<Operation, Step>> = {
  load: async (contender, keys, random) => {
    const [key] = pick(keys, random)
    const session = await contender.load(key)
    // A store that loses sessions is fast.
    if (session === undefined || session === null) throw new Error(`The session ${key} is gone`)
    return 1
  },
  save: async (contender, keys, random) => {
    const [key, n] = pick(keys, random)
    await contender.save(key, dataOf(n, random))
    return 1
  },
  touch: async (contender, keys, random) => {
    const [key, n] = pick(keys, random)
    await contender.touch(key, cookieOf(random), () => dataOf(n, random))
    return 1
  },
  'create+destroy': async (contender, _keys, random) => {
    const key = await contender.create(dataOf(Math.floor(random() * USERS), random))
    await contender.destroy(key)
    return 2
  },
  mixed: (contender, keys, random) => {
    const dice = random()
    const operation = dice < 0.9 ? 'load' : dice < 0.98 ? 'touch' : 'save'
    return STEPS[operation](contender, keys, random)
  }
}

function pick(keys: Keys, random: () => number): [key: string, n: number] {
  const n = Math.floor(random() * keys.count)
  return [keys.at(n), n]
}
