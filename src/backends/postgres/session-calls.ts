import { setTimeout as delay } from 'node:timers/promises'
import { BackendUnavailableError } from '../../core/errors.ts'
import type { SessionId } from '../../core/session.ts'
import type { SeenTimes } from '../../core/touch-memory.ts'
import type {
  PutOutcome,
  ReplaceOutcome,
  SessionEntry,
  SessionTimes,
  StoragePolicy,
  StoredSession
} from '../backend.ts'
import type { BatchKind } from './batching.ts'
import { type BinaryArray, bigintArray, textArray } from './binary-array.ts'
import type { ConnectionPool } from './pool.ts'
import type { IdRow, SeenRow, TimesRow } from './rows.ts'
import type { ParameterValues, Statement } from './statement.ts'
import type { Arity, IdleTimeout, SessionStatements } from './statements.ts'

/*
 * The calls on single sessions, each as a kind of batch: how inputs become parameters of the statement for one or for
 * many, and rows become answers.
 */

export interface IdCall {
  readonly id: SessionId
}
export interface TouchCall extends IdCall {
  readonly idleTimeoutMs: number | null
}
export interface WriteCall extends IdCall {
  readonly entry: SessionEntry
}
export interface ReplaceCall extends WriteCall {
  readonly expectedVersion: number
}
export interface RotateCall extends IdCall {
  readonly newId: SessionId
  readonly entry: SessionEntry | undefined
}
export interface RevokeCall extends IdCall {
  readonly userId: string | null
}

/** What a write that changed nothing has found instead. */
type Obstacle = 'live' | 'tombstone' | 'nothing'

export type SessionCalls = ReturnType<typeof sessionCalls>

/** How often revoke follows a session that is rotated away under its hands before it gives up. */
const MAX_PURSUITS = 1_000
const PURSUIT_DELAY_MS = 5

export function policyParameters(policy: StoragePolicy) {
  return {
    namespace: policy.namespace,
    defaultIdleMs: policy.idleTimeoutMs,
    absoluteMs: policy.absoluteTimeoutMs,
    tombstoneMs: policy.tombstoneMs
  }
}

export function sessionCalls(pool: ConnectionPool, statements: SessionStatements, policy: StoragePolicy) {
  const fixed = policyParameters(policy)

  function byKey<Input extends IdCall, Row extends { readonly id: string }, Output>(spec: {
    readonly doing: string
    readonly access?: 'read'
    readonly sharesAnswers?: boolean
    readonly statement: Readonly<Record<Arity, Statement<Row>>>
    readonly one: (input: Input) => ParameterValues
    readonly many: (inputs: readonly Input[]) => ParameterValues
    /** Asks the store what there is where no row came back; else an obstacle is always 'nothing'. */
    readonly asksForObstacles?: true
    readonly answer: (row: Row | undefined, obstacle: Obstacle) => Output
  }): BatchKind<Input, Output> {
    const { doing, access = 'write' } = spec
    return {
      access,
      sharesAnswers: spec.sharesAnswers ?? false,
      async run(inputs) {
        const [only] = inputs
        if (only === undefined) return []
        const rows =
          inputs.length === 1
            ? await pool.query(spec.statement.one, { ...fixed, ...spec.one(only) }, doing)
            : await pool.query(
                spec.statement.many,
                { ...fixed, ...spec.many(access === 'write' ? sortedById(inputs) : inputs) },
                doing
              )
        const rowsById = new Map<string, Row>()
        for (const row of rows) rowsById.set(row.id, row)
        const without = spec.asksForObstacles ? inputs.filter(({ id }) => !rowsById.has(id)) : []
        const obstaclesById = without.length > 0 ? await obstacles(without, doing) : undefined
        return inputs.map(({ id }) => spec.answer(rowsById.get(id), obstaclesById?.get(id) ?? 'nothing'))
      }
    }
  }

  /** A statement after the write, so that it sees what the write had to wait for. */
  async function obstacles(calls: readonly IdCall[], doing: string): Promise<Map<string, Obstacle>> {
    const values = { ...fixed, ids: idArray(calls) }
    const rows = await pool.query(statements.state, values, doing)
    return new Map(rows.map(({ id, isLive }): [string, Obstacle] => [id, isLive ? 'live' : 'tombstone']))
  }

  const touch = (idle: IdleTimeout) =>
    byKey<TouchCall, SeenRow, SeenTimes | undefined>({
      doing: 'touching a session',
      // The second of two touches that wait behind each other would find the session as the first has left it.
      sharesAnswers: idle === 'kept',
      statement: statements.touch[idle],
      one: ({ id, idleTimeoutMs }) => ({ id, idleTimeoutMs }),
      many: (calls) => ({
        ids: idArray(calls),
        ...(idle === 'given' && { idleTimeoutsMs: bigintArray(calls.map((call) => call.idleTimeoutMs)) })
      }),
      answer: (row) => row
    })

  const put = (idle: IdleTimeout, ifMissing: 'insert' | 'refuse') =>
    byKey<WriteCall, SeenRow, PutOutcome>({
      doing: 'writing a session',
      statement: ifMissing === 'insert' ? statements.putOrInsert[idle] : statements.putOrRefuse[idle],
      one: writeParameters,
      many: (calls) => manyWriteParameters(calls, idle),
      ...(ifMissing === 'refuse' && { asksForObstacles: true }),
      answer: (row, obstacle) => {
        if (row !== undefined) return { outcome: 'stored', ...row }
        return { outcome: ifMissing === 'insert' || obstacle === 'tombstone' ? 'ended' : 'missing' }
      }
    })

  const replace = (idle: IdleTimeout) =>
    byKey<ReplaceCall, TimesRow, ReplaceOutcome>({
      doing: 'replacing a session',
      statement: statements.replace[idle],
      one: (call) => ({ ...writeParameters(call), version: call.expectedVersion }),
      many: (calls) => ({
        ...manyWriteParameters(calls, idle),
        versions: bigintArray(calls.map(({ expectedVersion }) => expectedVersion))
      }),
      asksForObstacles: true,
      answer: (row, obstacle) => {
        if (row !== undefined) return { outcome: 'stored', ...row }
        return { outcome: obstacle === 'live' ? 'conflict' : 'missing' }
      }
    })

  return {
    read: byKey<IdCall, StoredSession, StoredSession | undefined>({
      doing: 'reading a session',
      access: 'read',
      sharesAnswers: true,
      statement: statements.read,
      one: ({ id }) => ({ id }),
      many: (calls) => ({ ids: idArray(calls) }),
      answer: (row) => row
    }),

    insert: byKey<WriteCall, TimesRow, SessionTimes | undefined>({
      doing: 'creating a session',
      statement: statements.insert,
      one: writeParameters,
      many: (calls) => manyWriteParameters(calls, 'given'),
      answer: (row) => row
    }),

    put: {
      insert: { given: put('given', 'insert'), kept: put('kept', 'insert') },
      refuse: { given: put('given', 'refuse'), kept: put('kept', 'refuse') }
    },

    replace: { given: replace('given'), kept: replace('kept') },

    touch: { given: touch('given'), kept: touch('kept') },

    end: byKey<IdCall, IdRow, boolean>({
      doing: 'ending a session',
      statement: statements.end,
      one: ({ id }) => ({ id }),
      many: (calls) => ({ ids: idArray(calls) }),
      answer: (row) => row !== undefined
    }),

    rotate: oneAtATime<RotateCall, StoredSession | undefined>(async ({ id, newId, entry }) => {
      const statement = entry ? statements.rotate.written[idleOf(entry)] : statements.rotate.touched
      const written = entry ? writeParameters({ id, entry }) : { id }
      const [row] = await pool.query(statement, { ...fixed, ...written, newId }, 'rotating a session')
      return row
    }),

    revoke: oneAtATime<RevokeCall, boolean>(async ({ id, userId }) => {
      let from: string = id
      for (let pursuit = 0; pursuit < MAX_PURSUITS; pursuit++) {
        const [row] = await pool.query(
          statements.revoke,
          { ...fixed, id: from, userId },
          'revoking a session'
        )
        if (row === undefined || row.present === null) return false
        if (row.isEnded) return true
        from = row.present
        // At another moment of the next rotation, not in step with it.
        await delay(Math.random() * PURSUIT_DELAY_MS)
      }
      throw new BackendUnavailableError(
        `Revoking session ${id}: it is being rotated faster than it can be followed.`
      )
    })
  }
}

/** By the bytes of the keys, as the index sorts them; ids are ASCII. */
function sortedById<Input extends IdCall>(calls: readonly Input[]): Input[] {
  return calls.toSorted((a, b) => (a.id < b.id ? -1 : 1))
}

/** Whether the entry sets the row's idle timeout, or leaves it. */
export function idleOf(entry: SessionEntry): IdleTimeout {
  return entry.idleTimeoutMs === undefined ? 'kept' : 'given'
}

function oneAtATime<Input, Output>(run: (input: Input) => Promise<Output>): BatchKind<Input, Output> {
  return {
    access: 'write',
    sharesAnswers: false,
    maxRows: 1,
    run: (inputs) => Promise.all(inputs.map(run))
  }
}

function writeParameters({ id, entry }: WriteCall): ParameterValues {
  return { id, value: entry.value, userId: entry.userId, idleTimeoutMs: entry.idleTimeoutMs ?? null }
}

function manyWriteParameters(calls: readonly WriteCall[], idle: IdleTimeout): ParameterValues {
  return {
    ids: idArray(calls),
    values: textArray(calls.map(({ entry }) => entry.value)),
    userIds: textArray(calls.map(({ entry }) => entry.userId)),
    ...(idle === 'given' && {
      idleTimeoutsMs: bigintArray(calls.map(({ entry }) => entry.idleTimeoutMs ?? null))
    })
  }
}

function idArray(calls: readonly IdCall[]): BinaryArray {
  return textArray(calls.map(({ id }) => id))
}
