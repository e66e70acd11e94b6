import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'

/**
 * What the store has said when the headers leave: 'committed' where the session is stored, touched or destroyed, 'failed' where
 * it could not be; 'open' where it has not been asked, or has not answered yet.
 */
export type CommitState = 'open' | 'committed' | 'failed'

type Method = 'writeHead' | 'write' | 'end'

/**
 * Keeps back a response that is complete until its session is stored.
 *
 * express-session stores it at the end of the response, but sends the headers and all bytes save the last at once. So a
 * browser follows a redirect before its session is there, and a sign-in that could not be stored is a 200 with a
 * cookie. Here nothing has been sent when the store fails, and the error's response goes out in its place. What a
 * handler has begun to send by itself, a stream, is not held.
 *
 * Its methods lie on both sides of express-session's: those that that one calls are replaced when this is made, before
 * the middleware runs; `res.end`, which the handler calls, once more in `guardEnd`, after it.
 */
export class ResponseHold {
  readonly #res: ServerResponse
  readonly #real: Readonly<Pick<ServerResponse, Method>>
  readonly #beforeHeaders: (state: CommitState) => void
  readonly #initialHeaders: OutgoingHttpHeaders
  #state: 'open' | 'ending' | 'held' | 'done' = 'open'
  #areHeadersAmended = false
  #calls: Array<(state: CommitState) => void> = []
  #status = 0
  #endArgs: unknown[] = []
  #headers: OutgoingHttpHeaders | undefined

  constructor(res: ServerResponse, beforeHeaders: (state: CommitState) => void) {
    const { writeHead, write, end } = res
    this.#res = res
    this.#real = { writeHead, write, end }
    this.#beforeHeaders = beforeHeaders
    this.#initialHeaders = { ...res.getHeaders() }
    Object.assign(res, {
      writeHead: (...args: unknown[]) => this.#writeHead(args),
      write: (...args: unknown[]) => this.#write(args),
      end: (...args: unknown[]) => this.#end(args)
    })
  }

  /** To be called when express-session has put its own `end` in place. */
  guardEnd(): void {
    const res = this.#res
    const { end } = res
    Object.assign(res, {
      end: (...args: unknown[]) => {
        if (this.#state !== 'open' || res.headersSent) return Reflect.apply(end, res, args)
        this.#state = 'ending'
        const result: unknown = Reflect.apply(end, res, args)
        if (this.#state === 'ending') this.#state = 'held'
        return result
      }
    })
  }

  /**
   * Drops a response that is held, so that the one of an error can be sent; unless it is one: then it goes out.
   * @returns Whether the request is answered by that.
   */
  abandon(): boolean {
    if (this.#state !== 'held') return false
    if (this.#status >= 500) {
      this.#release('failed')
      return true
    }
    this.#state = 'done'
    // express-session's `end` has ended; whatever else was put around it belongs to the response that is dropped.
    Object.assign(this.#res, this.#real, { statusCode: 500, statusMessage: undefined })
    this.#resetHeaders(this.#initialHeaders)
    return false
  }

  #writeHead(args: unknown[]): unknown {
    if (this.#isHolding()) {
      this.#headers = { ...this.#res.getHeaders() }
      this.#status = this.#res.statusCode
      this.#calls.push((state) => this.#sendHead(args, state))
      return this.#res
    }
    return this.#sendHead(args, 'open')
  }

  #sendHead(args: unknown[], state: CommitState): unknown {
    if (!this.#areHeadersAmended) {
      this.#areHeadersAmended = true
      this.#beforeHeaders(state)
    }
    return Reflect.apply(this.#real.writeHead, this.#res, args)
  }

  #write(args: unknown[]): unknown {
    if (!this.#isHolding()) return Reflect.apply(this.#real.write, this.#res, args)
    this.#calls.push(() => Reflect.apply(this.#real.write, this.#res, args))
    return true
  }

  #end(args: unknown[]): unknown {
    if (this.#state !== 'held') {
      // At once, so there was nothing to store.
      this.#state = 'done'
      return Reflect.apply(this.#real.end, this.#res, args)
    }
    // express-session tells `next` of a failure in an immediate that it has queued before this one: see `abandon`.
    this.#endArgs = args
    setImmediate(() => {
      if (this.#state === 'held') this.#release('committed')
    })
    return this.#res
  }

  #release(outcome: CommitState): void {
    this.#state = 'done'
    // A handler may have gone on after its `end`, where Node would have told it that the headers are sent.
    if (this.#headers !== undefined) this.#resetHeaders(this.#headers)
    for (const call of this.#calls) call(outcome)
    Reflect.apply(this.#real.end, this.#res, this.#endArgs)
  }

  #isHolding(): boolean {
    return this.#state === 'ending' || this.#state === 'held'
  }

  #resetHeaders(headers: OutgoingHttpHeaders): void {
    for (const name of this.#res.getHeaderNames()) {
      if (headers[name] === undefined) this.#res.removeHeader(name)
    }
    for (const [name, value] of Object.entries(headers)) {
      if (value !== undefined && this.#res.getHeader(name) !== value) this.#res.setHeader(name, value)
    }
  }
}
