import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { SqliteConnection } from './connection.ts'

/** Pages of the log after which it is written back to the database: SQLite's own default for automatic checkpoints. */
const CHECKPOINT_PAGES = 1_000
/** Pages (16 MiB) from which on the log is started anew, which stops writers for a moment. */
const RESTART_PAGES = 4_096
const SMALL_TAIL_PAGES = 256
const MAX_ROUNDS = 5
/** Pages (64 MiB) beyond which writes wait for a checkpoint that is under way. */
const MAX_WAL_PAGES = 16_384
const PAGE_BYTES = 4_096
/** The table's leaf and one of each index: what a write dirties at most, besides the data itself. */
const PAGES_PER_WRITE = 4
/** How long the thread waits for a gap between writers, to be able to start the log anew. */
const THREAD_BUSY_TIMEOUT_MS = 250

/*
 * A passive checkpoint runs beside readers and writers. It is repeated until what was written meanwhile is little. Only
 * then, and only where the log has grown long, comes the one that starts the log anew: it takes the write lock for what is
 * left. Without it the log of a store that is always written would grow for ever.
 */
const THREAD = `
const { parentPort, workerData } = require('node:worker_threads')
const { DatabaseSync } = require('node:sqlite')
const { path, busyTimeoutMs, restartPages, smallTailPages, maxRounds } = workerData
const database = new DatabaseSync(path, { timeout: busyTimeoutMs })
const passive = database.prepare('pragma wal_checkpoint(passive)')
const restart = database.prepare('pragma wal_checkpoint(restart)')

function checkpoint() {
  let { log } = passive.get()
  if (log < restartPages) return log
  for (let round = 1; round < maxRounds; round++) {
    const before = log
    log = passive.get().log
    if (log - before < smallTailPages) break
  }
  return restart.get().busy === 0 ? 0 : log
}

parentPort.on('message', (message) => {
  if (message === 'close') {
    database.close()
    parentPort.close()
    return
  }
  try {
    parentPort.postMessage({ pagesLeft: checkpoint() })
  } catch {
    parentPort.postMessage({ pagesLeft: undefined })
  }
})
`

interface CheckpointReport {
  /** What the log still holds, by now or from before; undefined: the checkpoint failed. */
  readonly pagesLeft: number | undefined
}

/**
 * Keeps the write-ahead log short from a thread of its own, started when there is something to do: a checkpoint waits for
 * the disk, which on the main thread would stop the whole server. Where no thread can be had (Node's permission model), the
 * main connection does the same work.
 */
export class Checkpointer {
  readonly #path: string
  readonly #connection: SqliteConnection
  #worker: Worker | undefined
  #threadFailed = false
  #underWay = false
  /** An estimate, since SQLite does not tell: what this process may have added since the log was last empty. */
  #pages = 0
  #pagesWhenAsked = 0

  constructor(path: string, connection: SqliteConnection) {
    this.#path = path
    this.#connection = connection
  }

  /** Whether writes should wait: the log is at its limit, and a checkpoint is at work. */
  get overtaken(): boolean {
    return this.#underWay && this.#pages > MAX_WAL_PAGES
  }

  /** To be called after each commit, outside of any transaction. */
  noteCommit(writes: number, characters: number): void {
    this.#pages += writes * PAGES_PER_WRITE + characters / PAGE_BYTES
    if (this.#underWay || this.#pages - this.#pagesWhenAsked < CHECKPOINT_PAGES) return
    this.#pagesWhenAsked = this.#pages
    const worker = this.#thread()
    if (worker === undefined) {
      this.#checkpointHere()
      return
    }
    this.#underWay = true
    worker.postMessage('checkpoint')
  }

  /** Lets a checkpoint come to its end, and the thread too. */
  async close(): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    if (worker === undefined || this.#threadFailed) return
    worker.ref()
    const exit = once(worker, 'exit')
    worker.postMessage('close')
    await exit.catch(() => {}) // the listener for errors has noted it, and the thread is gone either way
  }

  #thread(): Worker | undefined {
    if (this.#threadFailed) return undefined
    try {
      this.#worker ??= this.#startThread()
    } catch {
      // Node's permission model, or no memory for a thread: the main connection does its work from now on.
      this.#threadFailed = true
    }
    return this.#worker
  }

  #startThread(): Worker {
    const worker = new Worker(THREAD, {
      eval: true,
      name: 'bodhi-session checkpoints',
      workerData: {
        path: this.#path,
        busyTimeoutMs: THREAD_BUSY_TIMEOUT_MS,
        restartPages: RESTART_PAGES,
        smallTailPages: SMALL_TAIL_PAGES,
        maxRounds: MAX_ROUNDS
      },
      env: {},
      // Nothing that the application preloads belongs into this thread; Node 22 calls node:sqlite experimental.
      execArgv: ['--disable-warning=ExperimentalWarning'],
      resourceLimits: { maxOldGenerationSizeMb: 32 }
    })
    worker.on('message', (report: CheckpointReport) => this.#noteReport(report))
    worker.on('error', () => {
      this.#threadFailed = true
      this.#underWay = false
    })
    // Last, since a listener for messages takes a reference of its own.
    worker.unref()
    return worker
  }

  #noteReport({ pagesLeft }: CheckpointReport): void {
    this.#underWay = false
    if (pagesLeft === undefined) return
    const since = this.#pages - this.#pagesWhenAsked
    this.#pages = pagesLeft + since
    this.#pagesWhenAsked = pagesLeft
  }

  #checkpointHere(): void {
    let pagesLeft: number | undefined
    try {
      const row = this.#connection.database.prepare('pragma wal_checkpoint(passive)').get()
      pagesLeft = Math.max(0, Number(row?.['log']) - Number(row?.['checkpointed']))
    } catch {
      // The writes are committed and their callers must hear so. A disk that fails here fails the next commit too.
    }
    this.#noteReport({ pagesLeft })
  }
}
