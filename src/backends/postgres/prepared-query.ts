import type pg from 'pg'
import { ScratchBuffer } from './binary-array.ts'
import type { Columns } from './rows.ts'
import { encode, type ParameterValue, type Statement } from './statement.ts'

/** What pg keeps of the statements on a connection: by it, pg's own queries and these know of each other. */
interface StatementCache {
  readonly parsedStatements: Record<string, string>
  readonly submittedNamedStatements: Record<string, string>
}

const scratch = new ScratchBuffer()

/**
 * A named statement as pg takes it from others (as pg-cursor is one). pg's own query asks the server to describe the rows
 * each time, and reads them by that description; this one knows them. For a session that is loaded by itself this halves
 * what the driver costs.
 */
export class PreparedQuery<Row> implements pg.Submittable {
  /** Read by pg's client, which notes under it that the server has prepared the statement. */
  readonly name: string
  readonly text: string
  readonly #statement: Statement<Row>
  readonly #values: readonly ParameterValue[]
  readonly #done: (error: unknown, rows: Row[]) => void
  readonly #rows: Row[] = []

  /** `done` is called once. */
  constructor(
    statement: Statement<Row>,
    values: readonly ParameterValue[],
    done: (error: unknown, rows: Row[]) => void
  ) {
    this.name = statement.name
    this.text = statement.text
    this.#statement = statement
    this.#values = values
    this.#done = done
  }

  submit(connection: pg.Connection): void {
    const { name, text } = this
    // @types/pg leaves them out.
    const { parsedStatements, submittedNamedStatements } = connection as unknown as StatementCache
    connection.stream.cork() // all messages leave as one
    try {
      if (parsedStatements[name] === undefined && submittedNamedStatements[name] === undefined) {
        connection.parse({ name, text, types: [] }, true)
        submittedNamedStatements[name] = text
      }
      scratch.reset()
      // Copied into the message before anything else can run.
      const values = this.#values.map((value) => encode(value, scratch.allocate))
      connection.bind({ statement: name, values }, true)
      connection.execute(null, true)
      connection.sync()
    } finally {
      connection.stream.uncork()
    }
  }

  handleDataRow({ fields }: { readonly fields: Columns }): void {
    this.#rows.push(this.#statement.read(fields))
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.#done(null, this.#rows)
  }

  handleError(error: unknown): void {
    this.#done(error, [])
  }
}
