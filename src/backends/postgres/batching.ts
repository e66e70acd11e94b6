import { setTimeout as delay } from 'node:timers/promises'
import { KeyOrder, type Turn } from './key-order.ts'
import { type Batch, type LaneLimits, Lanes } from './lanes.ts'
import { Overdue, type UnderWay } from './overdue.ts'

/*
 * Batches that form by themselves. A call leaves at once while a lane is free; while all are busy, calls gather, and those
 * of one kind leave together when a lane comes free. So with no load nothing waits, and under load the number of
 * statements stays that of the lanes, however many call. Knows nothing of SQL.
 */

/** One way to answer calls, alone or together. */
export interface BatchKind<Input, Output> {
  readonly access: 'read' | 'write'
  /** Calls of this kind on the same keys that wait one right behind the other may get one answer. */
  readonly sharesAnswers: boolean
  /** The most calls in one batch, where that is less than the batcher's own limit. */
  readonly maxRows?: number
  /** The answers in the order of the inputs, no two of which have a key in common. Takes effect as a whole or not at all. */
  readonly run: (inputs: readonly Input[]) => Promise<readonly Output[]>
}

/**
 * What to do with a batch that failed: try it again as it is ('retry'), find the bad one by halving ('split'), let each go
 * by itself, since one may be blocked and hold up the others ('separate'), or give the error to all callers ('fail').
 */
export type Remedy = 'retry' | 'split' | 'separate' | 'fail'

export interface BatcherOptions {
  readonly read: LaneLimits
  readonly write: LaneLimits
  /** Further lanes of each access that open while a batch is slow, so that one blocked row does not stop everybody. */
  readonly extraLanes: number
  readonly maxRows: number
  /** Of the inputs of one batch. A larger input makes a batch by itself. */
  readonly maxBytes: number
  /** The most calls that wait. */
  readonly maxQueued: number
  readonly maxQueuedBytes: number
  /** The longest wait, in milliseconds, until a call is sent. */
  readonly maxWaitMs: number
  readonly remedyFor: (error: unknown) => Remedy
  /** Makes the error for a call that was not sent; `why` is a sentence. */
  readonly refuse: (why: string) => Error
}

/** A batch is slow when most others would be done. */
const SLOW_AFTER_MS = 50
const MAX_RETRIES = 5
const FIRST_BACKOFF_MS = 5
/** Calls that go by themselves after their batch was blocked do so side by side, up to this many. */
const SEPARATE_CALLS = 4

/** Both sides of a promise, of one caller. */
interface Caller<Output> {
  readonly resolve: (output: Output) => void
  readonly reject: (error: unknown) => void
}

/** What the batcher must know of a call whose types only its line knows. */
interface SomeCall extends Turn, UnderWay {
  readonly callers: readonly unknown[]
  readonly bytes: number
  becomeReady(): void
  giveUp(): void
  reject(error: unknown): void
}

class Call<Input, Output> implements SomeCall {
  waitingFor = 0
  since = 0
  isUnderWay = false
  readonly callers: Caller<Output>[]
  readonly line: Line<Input, Output>
  readonly keys: readonly string[]
  readonly input: Input
  readonly bytes: number

  constructor(
    line: Line<Input, Output>,
    keys: readonly string[],
    input: Input,
    bytes: number,
    caller: Caller<Output>
  ) {
    this.callers = [caller]
    this.line = line
    this.keys = keys
    this.input = input
    this.bytes = bytes
  }

  get access(): 'read' | 'write' {
    return this.line.kind.access
  }

  becomeReady(): void {
    this.line.ready.push(this)
  }

  giveUp(): void {
    const { ready } = this.line
    const position = ready.indexOf(this)
    if (position !== -1) ready.splice(position, 1)
  }

  reject(error: unknown): void {
    for (const caller of this.callers) caller.reject(error)
  }
}

/** The calls of one kind whose turn has come. */
class Line<Input, Output> {
  readonly kind: BatchKind<Input, Output>
  /** An array for the same reason as in {@link Overdue}. */
  readonly ready: Call<Input, Output>[] = []

  constructor(kind: BatchKind<Input, Output>) {
    this.kind = kind
  }

  /** Since when the first of them has been waiting; undefined: there are none. */
  get oldest(): number | undefined {
    return this.ready[0]?.since
  }

  /** The first of them, up to the limits, but one at least. */
  take(maxRows: number, maxBytes: number): Call<Input, Output>[] {
    let bytes = 0
    const end = this.ready.findIndex((call, index) => {
      bytes += call.bytes
      return index > 0 && (index >= maxRows || bytes > maxBytes)
    })
    return this.ready.splice(0, end < 0 ? this.ready.length : end)
  }
}

/**
 * Answers every call exactly once. Calls with a key in common take effect in the order in which they were made: each is
 * sent when those before it have been answered (readers beside readers excepted).
 */
export class Batcher {
  readonly #options: BatcherOptions
  readonly #lanes: Readonly<Record<'read' | 'write', Lanes>>
  readonly #lines = new Map<unknown, unknown>()
  readonly #order = new KeyOrder<SomeCall>((call) => {
    call.becomeReady()
    this.#collect(this.#lanes[call.access], 0)
  })
  /** Under way to be sent. */
  readonly #waiting: Overdue<SomeCall>
  /** Under way, and not slow so far. */
  readonly #swift = new Overdue<Batch>(SLOW_AFTER_MS, ({ lanes, calls }) => {
    lanes.slow++
    lanes.swiftCalls -= calls
    this.#dispatch(lanes)
  })
  #waitingCallers = 0
  #waitingBytes = 0
  #sent = 0
  #whenDrained: (() => void)[] = []

  constructor(options: BatcherOptions) {
    this.#options = options
    this.#waiting = new Overdue(options.maxWaitMs, (call) => this.#giveUp(call))
    this.#lanes = {
      read: new Lanes(options.read, options.extraLanes),
      write: new Lanes(options.write, options.extraLanes)
    }
  }

  /** `keys`: what the call reads or writes, without repetitions; `bytes`: about how much memory its input takes. */
  submit<Input, Output>(
    kind: BatchKind<Input, Output>,
    keys: readonly string[],
    input: Input,
    bytes: number
  ): Promise<Output> {
    const line = this.#lineOf(kind)
    return new Promise<Output>((resolve, reject) => {
      const fullness = this.#fullness(bytes)
      if (fullness !== undefined) return reject(this.#options.refuse(fullness))
      this.#waitingCallers++
      const sharing = kind.sharesAnswers ? this.#waitingLike(line, keys) : undefined
      const caller = { resolve, reject }
      if (sharing !== undefined) {
        sharing.callers.push(caller)
        return
      }
      const call = new Call(line, keys, input, bytes, caller)
      this.#waitingBytes += bytes
      this.#waiting.add(call)
      if (!this.#order.enter(call)) return
      call.becomeReady()
      const lanes = this.#lanes[kind.access]
      if (!lanes.isCollecting) this.#dispatch(lanes)
    })
  }

  /** Resolves when all that was submitted has been answered. */
  drained(): Promise<void> {
    if (this.#isDrained) return Promise.resolve()
    return new Promise((resolve) => {
      this.#whenDrained.push(resolve)
    })
  }

  get #isDrained(): boolean {
    return this.#sent === 0 && this.#waiting.size === 0
  }

  #lineOf<Input, Output>(kind: BatchKind<Input, Output>): Line<Input, Output> {
    const known = this.#lines.get(kind)
    if (known !== undefined) return known as Line<Input, Output> // made below, for this very kind
    const line = new Line(kind)
    const lanes = this.#lanes[kind.access]
    this.#lines.set(kind, line)
    lanes.departures.push({
      oldest: () => line.oldest,
      ready: () => line.ready.length,
      send: (maxCalls) => this.#send(line, lanes, maxCalls)
    })
    return line
  }

  #fullness(bytes: number): string | undefined {
    const { maxQueued, maxQueuedBytes } = this.#options
    if (this.#waitingCallers >= maxQueued) return `${maxQueued} calls are waiting already.`
    if (this.#waitingCallers > 0 && this.#waitingBytes + bytes > maxQueuedBytes) {
      return `${this.#waitingCallers} calls with ${this.#waitingBytes} bytes are waiting already.`
    }
    return undefined
  }

  /** The call right before a new one on the same keys, if it is of the same kind and still waits. */
  #waitingLike<Input, Output>(
    line: Line<Input, Output>,
    keys: readonly string[]
  ): Call<Input, Output> | undefined {
    const [key] = keys
    const last = keys.length === 1 && key !== undefined ? this.#order.last(key) : undefined
    // A call in the same line has the same types.
    return last instanceof Call && last.line === line && last.isUnderWay
      ? (last as Call<Input, Output>)
      : undefined
  }

  #dispatch(lanes: Lanes): void {
    while (lanes.canLeave) {
      const departure = lanes.next()
      if (departure === undefined) return
      void departure.send(lanes.share(departure.ready()))
    }
  }

  async #send<Input, Output>(line: Line<Input, Output>, lanes: Lanes, maxCalls: number): Promise<void> {
    const { maxRows, maxBytes } = this.#options
    const calls = line.take(Math.min(maxCalls, maxRows, line.kind.maxRows ?? maxRows), maxBytes)
    for (const call of calls) this.#stopWaiting(call)
    this.#sent += calls.length
    lanes.running++
    lanes.swiftCalls += calls.length
    const batch = { lanes, calls: calls.length, since: 0, isUnderWay: false }
    this.#swift.add(batch)

    const result = await this.#attempt(line, calls)
    // Any other outcome is settled call by call, while the lane is still taken.
    if ('error' in result) await this.#mend(line, calls, result.error)
    if (this.#swift.delete(batch)) lanes.swiftCalls -= calls.length
    else lanes.slow--
    lanes.running--
    // Before the callers are answered, as they will call again at once.
    if (calls.length > 1 || lanes.next() !== undefined) this.#collect(lanes, calls.length)
    if ('outputs' in result) this.#settleAll(calls, result.outputs)
  }

  /**
   * A moment later, when those who are about to call have called: at the end of this turn of the event loop, or of the next
   * one where fewer than half of the `expected` calls have come by then.
   */
  #collect(lanes: Lanes, expected: number): void {
    if (lanes.isCollecting) return
    lanes.isCollecting = true
    const depart = () => {
      lanes.isCollecting = false
      this.#dispatch(lanes)
    }
    setImmediate(() => {
      if (lanes.ready * 2 < expected) setImmediate(depart)
      else depart()
    })
  }

  async #attempt<Input, Output>(
    line: Line<Input, Output>,
    calls: ReadonlyArray<Call<Input, Output>>
  ): Promise<{ readonly outputs: readonly Output[] } | { readonly error: unknown }> {
    for (let attempt = 0; ; attempt++) {
      try {
        return { outputs: await line.kind.run(calls.map(({ input }) => input)) }
      } catch (error) {
        if (attempt >= MAX_RETRIES || this.#options.remedyFor(error) !== 'retry') return { error }
        await delay(Math.random() * FIRST_BACKOFF_MS * 2 ** attempt)
      }
    }
  }

  async #mend<Input, Output>(
    line: Line<Input, Output>,
    calls: ReadonlyArray<Call<Input, Output>>,
    error: unknown
  ): Promise<void> {
    const again = async (part: ReadonlyArray<Call<Input, Output>>) => {
      const result = await this.#attempt(line, part)
      if ('outputs' in result) this.#settleAll(part, result.outputs)
      else await this.#mend(line, part, result.error)
    }
    const remedy = calls.length === 1 ? 'fail' : this.#options.remedyFor(error)
    if (remedy === 'split') {
      const middle = calls.length >> 1
      await again(calls.slice(0, middle))
      await again(calls.slice(middle))
    } else if (remedy === 'separate') {
      const rest = [...calls]
      const goOneByOne = async () => {
        for (let call = rest.shift(); call !== undefined; call = rest.shift()) await again([call])
      }
      await Promise.all(Array.from({ length: SEPARATE_CALLS }, goOneByOne))
    } else {
      for (const call of calls) {
        this.#finish(call)
        call.reject(error)
      }
      this.#checkDrained()
    }
  }

  #settleAll<Input, Output>(calls: ReadonlyArray<Call<Input, Output>>, outputs: readonly Output[]): void {
    calls.forEach((call, index) => {
      this.#finish(call)
      const output = outputs[index] as Output // as many as inputs: the contract of BatchKind.run
      for (const caller of call.callers) caller.resolve(output)
    })
    this.#checkDrained()
  }

  /** Lets those in that wait for the call's keys. */
  #finish(call: SomeCall): void {
    this.#sent--
    this.#order.leave(call)
  }

  #checkDrained(): void {
    if (!this.#isDrained) return
    for (const resolve of this.#whenDrained.splice(0)) resolve()
  }

  #stopWaiting(call: SomeCall): void {
    this.#waiting.delete(call)
    this.#waitingCallers -= call.callers.length
    this.#waitingBytes -= call.bytes
  }

  #giveUp(call: SomeCall): void {
    const { maxWaitMs, refuse } = this.#options
    this.#stopWaiting(call)
    call.giveUp()
    this.#order.leave(call)
    call.reject(refuse(`It has waited for ${maxWaitMs} ms.`))
    this.#checkDrained()
  }
}
