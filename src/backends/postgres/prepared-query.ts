import type pg from 'pg'
import type { ParameterValue, Statement } from './statement.ts'

/** How the rows of a statement are read, as the server has described them on one connection. */
interface RowShape {
  readonly columns: ReadonlyArray<{ readonly name: string; readonly parse: (text: string) => unknown }>
  /** Copied for each row, so that all rows have their properties in one order. */
  readonly template: Readonly<Record<string, unknown>>
}

/** By the names of the statements that are prepared on one connection. */
export type RowShapes = Map<string, RowShape>

interface RowDescription {
  readonly fields: ReadonlyArray<{ readonly name: string; readonly dataTypeID: number }>
}

/** What pg keeps of the statements on a connection: by it, pg's own queries and these know of each other. */
interface StatementCache {
  readonly parsedStatements: Record<string, string>
  readonly submittedNamedStatements: Record<string, string>
}

/**
 * A named statement as pg takes it from others (as pg-cursor is one). pg's own query asks the server to describe the rows
 * each time, and reads that description each time; this one asks when it prepares the statement. For a session that is
 * loaded by itself this halves what the driver costs.
 */
export class PreparedQuery<Row> implements pg.Submittable {
  /** Read by pg's client, which notes under it that the server has prepared the statement. */
  readonly name: string
  readonly text: string
  readonly #values: Array<string | Buffer | null>
  readonly #shapes: RowShapes
  readonly #types: pg.CustomTypesConfig
  readonly #done: (error: unknown, rows: Row[]) => void
  readonly #rows: Row[] = []
  #shape: RowShape | undefined

  /** `shapes`: what is known of the statements on this connection; `done` is called once. */
  constructor(
    statement: Statement,
    values: readonly ParameterValue[],
    shapes: RowShapes,
    types: pg.CustomTypesConfig,
    done: (error: unknown, rows: Row[]) => void
  ) {
    this.name = statement.name
    this.text = statement.text
    this.#values = values.map((value) => (typeof value === 'number' ? String(value) : value))
    this.#shapes = shapes
    this.#types = types
    this.#done = done
  }

  submit(connection: pg.Connection): void {
    const { name, text } = this
    this.#shape = this.#shapes.get(name)
    // @types/pg leaves them out.
    const { parsedStatements, submittedNamedStatements } = connection as unknown as StatementCache
    connection.stream.cork() // all messages leave as one
    try {
      if (parsedStatements[name] === undefined && submittedNamedStatements[name] === undefined) {
        connection.parse({ name, text, types: [] }, true)
        submittedNamedStatements[name] = text
      }
      connection.bind({ statement: name, values: this.#values }, true)
      if (this.#shape === undefined) connection.describe({ type: 'P', name: '' }, true)
      connection.execute(null, true)
      connection.sync()
    } finally {
      connection.stream.uncork()
    }
  }

  handleRowDescription({ fields }: RowDescription): void {
    this.#shape = {
      columns: fields.map(({ name, dataTypeID }) => ({
        name,
        parse: this.#types.getTypeParser(dataTypeID, 'text')
      })),
      template: Object.fromEntries(fields.map(({ name }) => [name, null]))
    }
    this.#shapes.set(this.name, this.#shape)
  }

  handleDataRow({ fields }: { readonly fields: ReadonlyArray<string | null> }): void {
    if (this.#shape === undefined)
      throw new Error(`PostgreSQL sent rows of ${this.name} without their description`)
    const { columns, template } = this.#shape
    const row = { ...template }
    let index = 0
    for (const { name, parse } of columns) {
      const text = fields[index++]
      if (typeof text === 'string') row[name] = parse(text)
    }
    this.#rows.push(row as Row) // the statement and its row type stand side by side in statements.ts
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.#done(null, this.#rows)
  }

  handleError(error: unknown): void {
    this.#done(error, [])
  }
}
