import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import type { Contender } from './contender.ts'
import { quantile, randomSource } from './statistics.ts'
import { type Keys, type Operation, STEPS } from './workload.ts'

export interface Slice {
  readonly operation: Operation
  /** Requests under way at once. */
  readonly callers: number
  readonly durationMs: number
  readonly seed: number
  /** Operations per second in all, started on time whether or not earlier ones are answered; absent: as fast as answers come. */
  readonly rate?: number
}

/** What one slice of one contender has shown. */
export interface Figures {
  readonly operations: number
  readonly elapsedMs: number
  readonly opsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** CPU of this process, all its threads, per 1,000 operations. */
  readonly cpuMsPer1000: number
  readonly loopDelayP99Ms: number
  readonly residentBytes: number
}

/** More latencies than a slice has are not kept; memory stays the same for all contenders. */
const MAX_LATENCIES = 1 << 18
const TICK_MS = 1
const latencies = new Float64Array(MAX_LATENCIES)

/**
 * Runs one slice. Each caller calls again as soon as it is answered. A store that answers without leaving the process
 * (`isSynchronous`) would never let go of the event loop so: there each caller waits for a turn of it first, as a request
 * from a socket does, and its latency counts from before, so that what waits behind the store is seen to wait.
 *
 * Garbage is not collected by force in between: that makes V8 drop the optimised code of whatever has no object alive at
 * that moment, as it never happens to a server.
 */
export async function measure(
  contender: Contender,
  keys: Keys,
  slice: Slice,
  isSynchronous: boolean
): Promise<Figures> {
  const step = STEPS[slice.operation]
  let operations = 0
  let recorded = 0
  const delays = monitorEventLoopDelay({ resolution: 1 })
  delays.enable()
  const cpu = process.cpuUsage()
  const start = performance.now()
  const end = start + slice.durationMs

  const run = async (random: () => number, startedAt: number) => {
    const done = await step(contender, keys, random)
    operations += done // not `+= await`: that would add to what it was before
    if (recorded < MAX_LATENCIES) latencies[recorded++] = performance.now() - startedAt
  }
  if (slice.rate === undefined) {
    const caller = async (seed: number) => {
      const random = randomSource(seed)
      while (performance.now() < end) {
        const startedAt = performance.now()
        if (isSynchronous) await nextTurn()
        await run(random, startedAt)
      }
    }
    await Promise.all(Array.from({ length: slice.callers }, (_, n) => caller(slice.seed * 1_000 + n)))
  } else {
    const random = randomSource(slice.seed)
    const pending = new Set<Promise<void>>()
    const intervalMs = 1_000 / slice.rate
    for (let due = start; due < end; await delay(TICK_MS)) {
      for (let now = performance.now(); due <= now; due += intervalMs) {
        // A tick of delay is this loop's own; more is the store's, which blocks the event loop.
        const request = run(random, Math.min(now, due + 2 * TICK_MS)).finally(() => pending.delete(request))
        pending.add(request)
      }
    }
    await Promise.all(pending)
  }

  const elapsedMs = performance.now() - start
  const { user, system } = process.cpuUsage(cpu)
  delays.disable()
  const sorted = latencies.subarray(0, recorded).sort()
  return {
    operations,
    elapsedMs,
    opsPerSecond: (operations * 1_000) / elapsedMs,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
    cpuMsPer1000: (user + system) / Math.max(operations, 1),
    loopDelayP99Ms: delays.percentile(99) / 1e6,
    residentBytes: process.memoryUsage.rss()
  }
}

let turn: Promise<void> | undefined

/** One for all who wait for it. */
function nextTurn(): Promise<void> {
  turn ??= new Promise((resolve) =>
    setImmediate(() => {
      turn = undefined
      resolve()
    })
  )
  return turn
}
