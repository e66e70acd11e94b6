import { BackendError, BackendUnavailableError, type SessionError } from '../../core/errors.ts'
import type { Checkpointer } from './checkpointer.ts'
import type { Durability, SqliteConnection } from './connection.ts'
import { lockRetryDelayMs } from './lock-retry.ts'
import type { LogSync } from './log-sync.ts'
import { isBusy, sessionErrorOf } from './result-code.ts'

/** Jobs and characters that may wait: beyond them the store is not answering, and memory is better spent elsewhere. */
const MAX_WAITING_JOBS = 10_000
const MAX_WAITING_CHARACTERS = 64 * 1024 * 1024

/** A transaction is cut here, so that other events get their turn; what is left goes into the next one. */
const MAX_BATCH_JOBS = 1_000
const MAX_BATCH_MS = 5

export interface Job<T> {
  /** Runs inside the transaction, possibly again where the commit met a lock: it must do nothing but database work. */
  readonly run: () => T
  /** The sessions whose reads have to wait behind this job. */
  readonly changes: readonly string[] | 'any' | 'nothing'
  /** Whether it ends sessions, which is to survive power loss. */
  readonly durable?: boolean
  /** How much text it writes. */
  readonly characters?: number
}

interface WaitingJob {
  readonly run: () => unknown
  readonly changes: readonly string[] | 'any' | 'nothing'
  readonly durable: boolean
  readonly characters: number
  /** On the monotonic clock. */
  readonly submittedAt: number
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

type Outcome = { readonly value: unknown } | { readonly error: unknown }

export interface GroupCommitOptions {
  readonly connection: SqliteConnection
  readonly path: string
  readonly busyTimeoutMs: number
  /** What every commit survives; transactions with a durable job always survive power loss. */
  readonly durability: Durability
  /** Both undefined for a database in memory, which has no log. */
  readonly checkpointer: Checkpointer | undefined
  readonly logSync: LogSync | undefined
}

/**
 * The writer. Jobs of one turn of the event loop go into one transaction, in the order of the calls; each caller is answered
 * after the commit. A job that fails, fails alone; a transaction that fails, fails for everyone in it. While another
 * process holds the lock, the jobs wait without blocking the event loop, each for up to `busyTimeoutMs`.
 */
export class GroupCommit {
  readonly #options: GroupCommitOptions
  #waiting: WaitingJob[] = []
  #characters = 0
  /** Jobs that are committed and wait for the disk. */
  #syncing = 0
  readonly #changesOf = new Map<string, number>()
  #changesOfAny = 0
  #scheduled = false
  #attempts = 0
  /** Since when nothing could be written, on the monotonic clock; undefined: the last attempt went well. */
  #stuckSince: number | undefined
  #onIdle: Array<() => void> = []

  constructor(options: GroupCommitOptions) {
    this.#options = options
  }

  /** Whether all that was submitted is committed, and can be read. */
  get idle(): boolean {
    return this.#waiting.length === 0
  }

  /** Whether a read of this session has to wait behind something. */
  concerns(id: string): boolean {
    return this.#changesOfAny > 0 || this.#changesOf.has(id)
  }

  submit<T>(job: Job<T>): Promise<T> {
    const characters = job.characters ?? 0
    if (
      this.#waiting.length + this.#syncing >= MAX_WAITING_JOBS ||
      (this.#characters + characters > MAX_WAITING_CHARACTERS && this.#waiting.length > 0)
    ) {
      return Promise.reject(
        new BackendUnavailableError(
          `The SQLite database ${this.#options.path} has ${this.#waiting.length + this.#syncing} operations waiting: the queue is full. ` +
            'Fewer requests at once, or a faster disk, are needed.'
        )
      )
    }
    return new Promise<T>((resolve, reject) => {
      this.#enqueue({
        run: job.run,
        changes: job.changes,
        durable: job.durable ?? false,
        characters,
        submittedAt: performance.now(),
        resolve: resolve as (value: unknown) => void, // the value is what this very job's run returned
        reject
      })
    })
  }

  /** Resolves when everybody is answered. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#onIdle.push(resolve)
      this.#noteIdle()
    })
  }

  #enqueue(job: WaitingJob): void {
    this.#waiting.push(job)
    this.#characters += job.characters
    this.#countChanges(job, 1)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    // Microtasks would be too early: they run before the other callbacks of this turn have made their calls.
    setImmediate(() => this.#flush())
  }

  #flush(): void {
    this.#scheduled = false
    this.#commitBatch()
    if (!this.idle) this.#schedule()
    else this.#noteIdle()
  }

  #commitBatch(): void {
    const { checkpointer, connection, path } = this.#options
    if (checkpointer?.overtaken) {
      this.#retryLater(
        () =>
          new BackendUnavailableError(
            `The disk under the SQLite database ${path} does not keep up: its write-ahead log is at its limit.`
          )
      )
      return
    }
    const outcomes: Outcome[] = []
    try {
      connection.begin()
    } catch (error) {
      if (isBusy(error)) this.#retryLater(() => sessionErrorOf(error, path))
      else this.#rejectFirst(this.#waiting.length, sessionErrorOf(error, path))
      return
    }
    try {
      this.#runBatch(outcomes)
      connection.commit()
    } catch (error) {
      connection.rollback()
      if (isBusy(error)) this.#retryLater(() => sessionErrorOf(error, path))
      else this.#rejectFirst(outcomes.length, sessionErrorOf(error, path))
      return
    }
    this.#attempts = 0
    this.#stuckSince = undefined
    this.#finish(outcomes)
  }

  #noteIdle(): void {
    if (!this.idle || this.#syncing > 0) return
    for (const resolve of this.#onIdle.splice(0)) resolve()
  }

  /** Throws where the transaction is gone: then nobody's work in it has happened. */
  #runBatch(outcomes: Outcome[]): void {
    const { connection, path } = this.#options
    const end = performance.now() + MAX_BATCH_MS
    for (const job of this.#waiting) {
      if (outcomes.length >= MAX_BATCH_JOBS || (outcomes.length > 0 && performance.now() > end)) return
      try {
        outcomes.push({ value: job.run() })
      } catch (error) {
        outcomes.push({ error: sessionErrorOf(error, path) })
        if (!connection.database.isTransaction) throw error
      }
    }
  }

  /** Everything in `outcomes` is committed. */
  #finish(outcomes: readonly Outcome[]): void {
    const { checkpointer, durability, logSync, path } = this.#options
    const jobs = this.#take(outcomes.length)
    checkpointer?.noteCommit(jobs.length, charactersOf(jobs))
    if (logSync === undefined || (durability === 'normal' && !jobs.some((job) => job.durable))) {
      answer(jobs, outcomes)
      return
    }
    this.#syncing += jobs.length
    const then = (told: readonly Outcome[]) => {
      this.#syncing -= jobs.length
      answer(jobs, told)
      this.#noteIdle()
    }
    logSync.sync().then(
      () => then(outcomes),
      (cause: unknown) => {
        const message = `The disk under the SQLite database ${path} failed to keep what was written.`
        const error = new BackendError(message, { cause })
        then(outcomes.map(() => ({ error })))
      }
    )
  }

  /** Jobs whose time is up are told so, the others try again later. */
  #retryLater(reason: () => SessionError): void {
    const now = performance.now()
    this.#stuckSince ??= now
    const stuckSince = this.#stuckSince
    // What a job waited behind others does not count: only that nobody could write.
    const alive = this.#waiting.findIndex(
      ({ submittedAt }) => now - Math.max(submittedAt, stuckSince) < this.#options.busyTimeoutMs
    )
    const overdue = alive === -1 ? this.#waiting.length : alive
    if (overdue > 0) this.#rejectFirst(overdue, reason())
    if (this.idle) return
    this.#scheduled = true
    setTimeout(() => this.#flush(), lockRetryDelayMs(this.#attempts++))
  }

  #rejectFirst(count: number, error: unknown): void {
    for (const job of this.#take(count)) job.reject(error)
  }

  #take(count: number): WaitingJob[] {
    const taken = this.#waiting.splice(0, count)
    for (const job of taken) {
      this.#characters -= job.characters
      this.#countChanges(job, -1)
    }
    return taken
  }

  #countChanges({ changes }: WaitingJob, by: 1 | -1): void {
    if (changes === 'nothing') return
    if (changes === 'any') {
      this.#changesOfAny += by
      return
    }
    for (const id of changes) {
      const count = (this.#changesOf.get(id) ?? 0) + by
      if (count === 0) this.#changesOf.delete(id)
      else this.#changesOf.set(id, count)
    }
  }
}

function answer(jobs: readonly WaitingJob[], outcomes: readonly Outcome[]): void {
  jobs.forEach((job, index) => {
    const outcome = outcomes[index]
    if (outcome && 'value' in outcome) job.resolve(outcome.value)
    else job.reject(outcome?.error)
  })
}

function charactersOf(jobs: readonly WaitingJob[]): number {
  return jobs.reduce((sum, job) => sum + job.characters, 0)
}
