/** A session store under test: what a framework's adapter asks of it, as promises. */
export interface Contender {
  /** Writes many sessions at once, before anything is measured. */
  fill(entries: ReadonlyArray<readonly [key: string, data: BenchData]>): Promise<void>
  load(key: string): Promise<unknown>
  save(key: string, data: BenchData): Promise<unknown>
  /** The new expiry is in the cookie. `data` gives the rest, for a store that knows no touch. */
  touch(key: string, cookie: BenchCookie, data: () => BenchData): Promise<unknown>
  /** Starts a session and gives its key. */
  create(data: BenchData): Promise<string>
  destroy(key: string): Promise<unknown>
  /** Removes expired sessions; the number of them, where the store tells. */
  prune?(): Promise<number>
  close(): Promise<void>
}

/** About 1 KB as JSON: what a web application keeps, and the cookie that express-session adds. */
export interface BenchData {
  readonly cookie: BenchCookie
  readonly userId: string
  readonly visits: number
  readonly [field: string]: unknown
}

export interface BenchCookie {
  readonly originalMaxAge: number
  readonly expires: string
  readonly httpOnly: boolean
  readonly path: string
}

/** Where a contender keeps its sessions, and how it is set. */
export interface ContenderSetup {
  /** The contender's PostgreSQL database, its Redis, or the path of its SQLite file. */
  readonly location: string
  /** The folder of the built package that is measured. */
  readonly dist: string
  /** Connections of its pool. */
  readonly connections: number
  /** SQLite only: 'full' makes every commit survive a power loss. */
  readonly durability: 'normal' | 'full'
  /** PostgreSQL, ours only: the table, where several share a database. */
  readonly table?: string
}

export type OpenContender = (setup: ContenderSetup) => Promise<Contender>
