import { createHash } from 'node:crypto'
import type { Allocate, BinaryArray } from './binary-array.ts'
import type { RowReader } from './rows.ts'

/** The parameters of all statements, by name, with their types: one word means one thing in every statement. */
const PARAMETER_TYPES = {
  namespace: 'text',
  id: 'text',
  ids: 'text[]',
  newId: 'text',
  value: 'text',
  values: 'text[]',
  userId: 'text',
  userIds: 'text[]',
  idleTimeoutMs: 'bigint',
  idleTimeoutsMs: 'bigint[]',
  version: 'bigint',
  versions: 'bigint[]',
  defaultIdleMs: 'bigint',
  absoluteMs: 'bigint',
  tombstoneMs: 'bigint',
  except: 'text',
  cursor: 'text'
} as const

export type ParameterName = keyof typeof PARAMETER_TYPES
export type ParameterValue = string | number | null | BinaryArray
export type ParameterValues = Readonly<Partial<Record<ParameterName, ParameterValue>>>

/** One SQL statement with bound parameters, and how its rows are read. */
export interface Statement<Row = unknown> {
  readonly text: string
  /** Carries a hash of the text, so that two versions of this library may share a pooler's connections. */
  readonly name: string
  /** The names of $1, $2, … in this order. */
  readonly parameters: readonly ParameterName[]
  readonly read: RowReader<Row>
  /** Takes its place on connections that do not plan as the store asks them to. */
  readonly unplanned?: Statement<Row>
}

/** Two colons are a cast; one, followed by a name, is a parameter. */
const PARAMETER = /(?<!:):([a-z]\w*)/gi

/** Compiles SQL whose parameters are written `:name`. Each becomes $n with its type, numbered by first appearance. */
export function statement<Row>(sql: string, read: RowReader<Row>): Statement<Row> {
  const parameters: ParameterName[] = []
  const text = sql.trim().replace(PARAMETER, (_, name: string) => {
    if (!isParameterName(name)) throw new Error(`The statement uses an unknown parameter :${name}`)
    if (!parameters.includes(name)) parameters.push(name)
    return `$${parameters.indexOf(name) + 1}::${PARAMETER_TYPES[name]}`
  })
  const hash = createHash('sha256').update(text).digest('base64url').slice(0, 16)
  return { text, name: `bodhi_${hash}`, parameters, read }
}

/** The values in the order of the statement's parameters. */
export function bind(statement: Statement, values: ParameterValues): ParameterValue[] {
  return statement.parameters.map((name) => {
    const value = values[name]
    if (value === undefined) throw new Error(`No value for the parameter :${name}`)
    return value
  })
}

/** As the driver takes it: what is neither text nor null goes in PostgreSQL's binary format. */
export function encode(value: ParameterValue, allocate: Allocate): string | Buffer | null {
  if (typeof value === 'number') return String(value)
  return typeof value === 'object' && value !== null ? value.encode(allocate) : value
}

function isParameterName(name: string): name is ParameterName {
  return Object.hasOwn(PARAMETER_TYPES, name)
}
