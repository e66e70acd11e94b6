import { type FileHandle, open } from 'node:fs/promises'

/**
 * Makes what has been committed survive power loss, without stopping the event loop.
 *
 * SQLite's own way is `synchronous = full`: each commit waits for the disk inside the call, and with it the whole server.
 * We commit with `synchronous = normal`, which writes the same bytes to the log, and have a thread of libuv sync the log
 * before the callers are answered. A checkpoint that empties the log in between syncs both log and database itself. The
 * extra file descriptor is harmless: SQLite holds no lock on the log file, which closing it could drop.
 */
export class LogSync {
  readonly #path: string
  #file: Promise<FileHandle> | undefined
  /** Never rejects. */
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined

  constructor(databasePath: string) {
    this.#path = `${databasePath}-wal`
  }

  /** Resolves when all that was committed before the call is on the disk; calls that come meanwhile share the next sync. */
  sync(): Promise<void> {
    if (this.#next !== undefined) return this.#next
    if (this.#running === undefined) return this.#start()
    this.#next = this.#running.then(() => {
      this.#next = undefined
      return this.#start()
    })
    return this.#next
  }

  async close(): Promise<void> {
    await this.#next
    await this.#running
    const file = await this.#file
    await file?.close()
  }

  #start(): Promise<void> {
    const done = this.#sync()
    const forget = () => {
      this.#running = undefined
    }
    this.#running = done.then(forget, forget)
    return done
  }

  async #sync(): Promise<void> {
    this.#file ??= open(this.#path, 'r+')
    try {
      const file = await this.#file
      await file.datasync()
    } catch (error) {
      const file = this.#file
      this.#file = undefined // the next call opens it anew
      await file.then((handle) => handle.close()).catch(() => {}) // nothing more can be said than the first error
      throw error
    }
  }
}
