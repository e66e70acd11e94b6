import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { ContenderName } from '../contenders/registry.ts'
import type { ContenderSetup } from './contender.ts'
import type { Figures, Slice } from './measure.ts'
import type { Answer, AnswerMessage, Pruned, Request, RequestMessage } from './messages.ts'

const MAIN = fileURLToPath(new URL('contender-main.ts', import.meta.url))

interface Waiting {
  resolve(answer: Answer): void
  reject(error: Error): void
}

/** A contender in a process of its own. */
export class ContenderHandle {
  readonly name: ContenderName
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, Waiting>()
  #count = 0

  private constructor(name: ContenderName) {
    this.name = name
    this.#child = fork(MAIN, { execArgv: ['--disable-warning=ExperimentalWarning'] })
    this.#child.on('message', (message: AnswerMessage) => this.#settle(message))
    this.#child.once('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values())
        reject(new Error(`The process of ${name} has ended (${signal ?? code})`))
    })
  }

  static async open(name: ContenderName, setup: ContenderSetup): Promise<ContenderHandle> {
    const handle = new ContenderHandle(name)
    await handle.#ask({ do: 'open', name, setup })
    return handle
  }

  async fill(count: number, write = true): Promise<void> {
    await this.#ask({ do: 'fill', count, write })
  }

  async measure(slice: Slice): Promise<Figures> {
    const { figures } = await this.#ask({ do: 'measure', slice })
    if (figures === undefined) throw new Error(`${this.name} has measured nothing`)
    return figures
  }

  async prune(): Promise<Pruned> {
    const { pruned } = await this.#ask({ do: 'prune' })
    if (pruned === undefined) throw new Error(`${this.name} has not pruned`)
    return pruned
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    await this.#ask({ do: 'close' })
    this.#child.disconnect()
    await exited
  }

  #ask(request: Request): Promise<Answer> {
    const message: RequestMessage = { id: ++this.#count, request }
    return new Promise((resolve, reject) => {
      this.#waiting.set(message.id, { resolve, reject })
      this.#child.send(message)
    })
  }

  #settle(message: AnswerMessage): void {
    const waiting = this.#waiting.get(message.id)
    this.#waiting.delete(message.id)
    if ('answer' in message) waiting?.resolve(message.answer)
    else waiting?.reject(new Error(`${this.name}: ${message.error}`))
  }
}
