import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export interface ProgramResult {
  /** What it sent to its parent. */
  readonly messages: readonly unknown[]
  readonly output: string
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** Runs a program of tests/load/programs in a process of its own, and waits for its end. */
export async function runProgram(
  name: string,
  args: readonly string[],
  nodeOptions: readonly string[] = []
): Promise<ProgramResult> {
  const path = fileURLToPath(new URL(`programs/${name}.ts`, import.meta.url))
  const child = fork(path, args, {
    execArgv: ['--disable-warning=ExperimentalWarning', ...nodeOptions],
    silent: true,
    serialization: 'advanced'
  })
  const messages: unknown[] = []
  let output = ''
  child.on('message', (message) => messages.push(message))
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8')
    stream?.on('data', (text: string) => {
      output += text
    })
  }
  // 'close', not 'exit': by then the output and the messages are here.
  const [code, signal] = await once(child, 'close')
  return { messages, output, code, signal }
}
