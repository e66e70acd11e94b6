import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { quantile } from './statistics.ts'

/*
 * A load of HTTP requests over connections that stay open, each sending its next request when the last is answered. Small
 * on purpose: what the client burns, the server beside it on the same machine does not get.
 */

export interface HttpLoad {
  readonly port: number
  readonly path: string
  /** Each connection takes one after the other. */
  readonly cookies: readonly string[]
  readonly connections: number
  readonly durationMs: number
  /** What every answer must contain: a server that has lost the session is fast. */
  readonly expects: string
}

export interface HttpFigures {
  readonly requests: number
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export async function runHttpLoad(load: HttpLoad): Promise<HttpFigures> {
  const latencies: number[] = []
  const start = performance.now()
  const end = start + load.durationMs
  await Promise.all(
    Array.from({ length: load.connections }, async (_, n) => {
      const connection = await HttpConnection.open(load.port)
      for (let turn = n; performance.now() < end; turn++) {
        const sentAt = performance.now()
        const answer = await connection.get(load.path, load.cookies[turn % load.cookies.length])
        latencies.push(performance.now() - sentAt)
        if (!answer.startsWith('HTTP/1.1 200') || !answer.includes(load.expects))
          throw new Error(`Not the page that was expected:\n${answer}`)
      }
      connection.close()
    })
  )
  const elapsedMs = performance.now() - start
  const sorted = latencies.sort((a, b) => a - b)
  return {
    requests: sorted.length,
    requestsPerSecond: (sorted.length * 1_000) / elapsedMs,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99)
  }
}

/** Signs in, and gives the cookies that the server has set, as a browser would send them. */
export async function signIn(port: number, path: string, count: number): Promise<string[]> {
  const cookies: string[] = []
  const connection = await HttpConnection.open(port)
  for (let n = 0; n < count; n++) {
    const answer = await connection.get(path)
    const set = [...answer.matchAll(/^set-cookie: ([^;\r]*)/gim)].map((match) => match[1])
    if (set.length > 0) cookies.push(set.join('; '))
  }
  connection.close()
  return cookies
}

class HttpConnection {
  readonly #socket: Socket
  #received = ''
  #answer: { resolve(text: string): void; reject(error: Error): void } | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('latin1')
    socket.setNoDelay(true)
    socket.on('data', (text: string) => {
      this.#received += text
      if (!isWhole(this.#received)) return
      const answer = this.#received
      this.#received = ''
      this.#answer?.resolve(answer)
    })
    socket.on('error', (error) => this.#answer?.reject(error))
    socket.on('close', () => this.#answer?.reject(new Error('The server has closed the connection')))
  }

  static async open(port: number): Promise<HttpConnection> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return new HttpConnection(socket)
  }

  get(path: string, cookie?: string): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#answer = { resolve, reject }
      const cookies = cookie === undefined ? '' : `Cookie: ${cookie}\r\n`
      this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${cookies}\r\n`)
    })
  }

  close(): void {
    this.#answer = undefined
    this.#socket.destroy()
  }
}

function isWhole(text: string): boolean {
  const head = text.indexOf('\r\n\r\n')
  if (head === -1) return false
  const length = /^content-length: (\d+)/im.exec(text.slice(0, head))?.[1]
  if (length !== undefined) return text.length >= head + 4 + Number(length)
  return text.endsWith('0\r\n\r\n') // chunked
}
