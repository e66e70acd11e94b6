import pg from 'pg'
import { redactUrl } from '../../config/connection-url.ts'
import type { ResolvedPostgresOptions } from '../../config/options.ts'
import { BackendUnavailableError } from '../../core/errors.ts'
import {
  breaksConnection,
  lostPreparedStatement,
  refusesStartupParameters,
  toSessionError
} from './errors.ts'
import { Overdue, type UnderWay } from './overdue.ts'
import { PreparedQuery } from './prepared-query.ts'
import { bind, encode, type ParameterValue, type ParameterValues, type Statement } from './statement.ts'

export type PoolOptions = Pick<
  ResolvedPostgresOptions,
  | 'maxConnections'
  | 'maxQueued'
  | 'connectTimeoutMs'
  | 'statementTimeoutMs'
  | 'lockTimeoutMs'
  | 'preparedStatements'
  | 'ssl'
  | 'password'
  | 'applicationName'
> & { readonly url: string }

/** Runs SQL within a transaction. */
export type RunSql = <Row = unknown>(text: string, values?: ReadonlyArray<string | number>) => Promise<Row[]>

/** A message of the server's protocol, as the driver passes it on. */
interface ParameterStatus {
  readonly parameterName: string
  readonly parameterValue: string
}

/** What pg's clients say when they connect; @types/pg leaves it out. */
interface Starting {
  getStartupConf(): Readonly<Record<string, string>>
}

/** A statement under way. */
interface Run extends UnderWay {
  readonly giveUp: () => void
}

type Done<Row> = (error: unknown, rows: Row[]) => void

/** The server's own time-outs end a statement in an orderly way; this one is for a server that is not there any more. */
const CLIENT_TIMEOUT_GRACE_MS = 500
/** A row lock that outlives its transaction's client would stop everybody else. */
const IDLE_IN_TRANSACTION_MS = 10_000
/** Connections that no statement has needed for so long are given back to the driver's pool, which closes them in time. */
const KEPT_MS = 5_000
const POOL_IDLE_MS = 30_000
const BIGINT_OID = 20
/**
 * Each statement is planned once for each connection. Left to itself, PostgreSQL plans a batch anew each time where the
 * first five batches were small, which takes longer than carrying it out. And a plan that is made while the table is small
 * must serve when it has grown: it uses the indexes, row by row and not by way of a bitmap, which has an order of its own.
 */
const PLANNING = {
  plan_cache_mode: 'force_generic_plan',
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  // What is switched off counts as endlessly costly where it is all there is, and costly statements would be compiled.
  jit: 'off'
}

/** Milliseconds since the epoch fit a JavaScript number until the year 287396. */
const TYPES: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) => (Number(oid) === BIGINT_OID ? Number : pg.types.getTypeParser(oid, format))
}

/** Statements read their columns themselves. */
const AS_TEXT: pg.CustomTypesConfig = { getTypeParser: () => (text: string) => text }

/**
 * The connections of one store, never shared with another. Connects lazily; connections that die are replaced by the next
 * statement. All failures leave as SessionErrors.
 */
export class ConnectionPool {
  readonly #options: PoolOptions
  readonly #pool: pg.Pool
  readonly #server: string
  /**
   * Free connections, the one used last on top. They stay checked out of the driver's pool, as checking out and in again
   * costs two timers and several events, more than the statement itself.
   */
  readonly #kept: pg.PoolClient[] = []
  /** How many of them, from the bottom, no statement has needed since the last round. */
  #unneeded = 0
  #keptTimer: NodeJS.Timeout | undefined
  #isEnding = false
  readonly #statementLimitMs: number
  /** What to do about each statement under way, should it not be answered in time. */
  readonly #underWay: Overdue<Run>
  /** Both are switched off for good by the first pooler that does not carry them. */
  #usesPreparedStatements: boolean
  #sendsSettings = true
  #plansAsTold = false

  constructor(options: PoolOptions) {
    this.#options = options
    this.#server = redactUrl(options.url)
    this.#usesPreparedStatements = options.preparedStatements
    this.#statementLimitMs = options.statementTimeoutMs + CLIENT_TIMEOUT_GRACE_MS
    this.#underWay = new Overdue(this.#statementLimitMs, ({ giveUp }) => giveUp())
    const clientConfig = () => this.#clientConfig()
    const password = options.password && passwordSource(options.password)
    const sendsPlanning = () => this.#sendsSettings
    const standbys = new WeakSet<object>()
    const discardIfKept = (client: object) => this.#discardIfKept(client)
    class StoreClient extends pg.Client {
      /** The driver would leave the connection open until the server gives up on it, a minute later. */
      readonly #giveUpConnecting = (reason: unknown): never => {
        setImmediate(() => this.connection.stream.destroy())
        throw reason
      }

      constructor() {
        super(clientConfig())
        // The driver lets an empty password of the URL win over a callback; its type does not know callbacks here.
        if (password) Object.assign(this, { password: () => password().catch(this.#giveUpConnecting) })
        if (sendsPlanning()) {
          // @types/pg leaves the method out.
          const startup = (this as unknown as Starting).getStartupConf()
          Object.assign(this, { getStartupConf: () => ({ ...startup, ...PLANNING }) })
        }
        // Without a listener, a connection that dies during a query would end the process. The query reports it.
        this.on('error', () => discardIfKept(this))
        // Every server from 14 on says so before it takes the first query, and again when that changes.
        this.connection.on('parameterStatus', ({ parameterName, parameterValue }: ParameterStatus) => {
          if (parameterName !== 'in_hot_standby') return
          if (parameterValue === 'on') standbys.add(this)
          else standbys.delete(this)
        })
      }
    }
    this.#pool = new pg.Pool({
      Client: StoreClient,
      max: options.maxConnections,
      connectionTimeoutMillis: options.connectTimeoutMs,
      idleTimeoutMillis: POOL_IDLE_MS,
      verify: (client, done) => done(standbys.has(client) ? this.#standbyError() : undefined)
    })
    // An idle connection that dies has already left the pool; there is nobody to tell.
    this.#pool.on('error', () => {})
  }

  /**
   * Finds out whether connections plan as they are told, or a pooler has swallowed that. Until then, and where it has, the
   * `unplanned` form of statements is used.
   */
  async checkPlanning(): Promise<void> {
    const names = Object.keys(PLANNING)
    const sql = `select ${names.map((name) => `current_setting('${name}') as ${name}`).join(', ')}`
    const [settings] = await this.queryText(sql, [], 'looking at the settings of a connection')
    const isTold = Object.entries(PLANNING).every(([name, value]) => settings?.[name] === value)
    this.#plansAsTold = isTold && this.#sendsSettings
  }

  /** Runs one statement on a connection of its own. `doing` is for messages: 'reading a session'. */
  async query<Row>(asked: Statement<Row>, values: ParameterValues, doing: string): Promise<Row[]> {
    const statement = this.#plansAsTold ? asked : (asked.unplanned ?? asked)
    const bound = bind(statement, values)
    const client = this.#kept.pop() ?? (await this.#checkOut(doing))
    const isNamed = this.#usesPreparedStatements
    try {
      return await this.#run<Row>(client, (done) => {
        if (isNamed) client.query(new PreparedQuery<Row>(statement, bound, done))
        else runUnprepared(client, statement, bound, done)
      })
    } catch (error) {
      if (!isNamed || !lostPreparedStatement(error)) throw this.#explain(error, doing)
      // Refused before it ran, so it may run again.
      this.#usesPreparedStatements = false
    }
    return this.query(asked, values, doing)
  }

  /** Runs SQL that others have written, with $1, $2, … */
  async queryText(text: string, values: unknown[], doing: string): Promise<Array<Record<string, unknown>>> {
    const client = this.#kept.pop() ?? (await this.#checkOut(doing))
    try {
      return await this.#run<Record<string, unknown>>(client, (done) => {
        client.query<pg.QueryResultRow>({ text, values }, (error: unknown, result) => {
          done(error, error ? [] : result.rows)
        })
      })
    } catch (error) {
      throw this.#explain(error, doing)
    }
  }

  /**
   * Runs `work` in a transaction, without the usual time limits: `work` sets its own. Used by migrations only, as all else
   * is one statement.
   */
  async transaction<T>(work: (run: RunSql) => Promise<T>, doing: string, timeoutMs: number): Promise<T> {
    const client = this.#kept.pop() ?? (await this.#checkOut(doing))
    const run: RunSql = async (text, values = []) => {
      const result = await client.query(text, [...values])
      return result.rows
    }
    let isOver = false
    const timer = setTimeout(() => {
      isOver = true
      client.release(true)
    }, timeoutMs)
    try {
      await run('begin')
      const result = await work(run)
      await run('commit')
      return result
    } catch (error) {
      // Closing the connection rolls back, whatever state it is in.
      if (!isOver) client.release(true)
      const cause = isOver
        ? new BackendUnavailableError(this.#tooSlow(doing, timeoutMs), { cause: error })
        : error
      isOver = true
      throw this.#explain(cause, doing)
    } finally {
      clearTimeout(timer)
      if (!isOver) client.release()
    }
  }

  /** Waits for the connections that are in use, and closes all. */
  end(): Promise<void> {
    this.#isEnding = true
    clearTimeout(this.#keptTimer)
    for (const client of this.#kept.splice(0)) client.release()
    return this.#pool.end()
  }

  async #checkOut(doing: string): Promise<pg.PoolClient> {
    if (this.#pool.waitingCount >= this.#options.maxQueued) {
      throw new BackendUnavailableError(
        `PostgreSQL: ${doing} was not tried: ${this.#options.maxQueued} operations wait for a connection to ${this.#server} already (option maxQueued).`
      )
    }
    try {
      return await this.#pool.connect()
    } catch (error) {
      if (!this.#sendsSettings || !refusesStartupParameters(error)) throw this.#explain(error, doing)
      this.#sendsSettings = false
      this.#plansAsTold = false
    }
    return this.#checkOut(doing)
  }

  /** `send` starts a statement and is told how it ended; the connection is free again then, or gone. */
  #run<Row>(client: pg.PoolClient, send: (done: Done<Row>) => void): Promise<Row[]> {
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        // Destroyed, not returned: the answer may still come, and would be taken for that of the next statement.
        client.release(true)
        reject(new BackendUnavailableError(this.#tooSlow('a statement', this.#statementLimitMs)))
      }
      const run: Run = { giveUp, since: 0, isUnderWay: false }
      this.#underWay.add(run)
      send((error, rows) => {
        if (!this.#underWay.delete(run)) return
        if (error) {
          client.release(breaksConnection(error))
          reject(error)
        } else {
          this.#keep(client)
          resolve(rows)
        }
      })
    })
  }

  #keep(client: pg.PoolClient): void {
    // Those who wait for a connection do so in the driver's pool.
    if (this.#isEnding || this.#pool.waitingCount > 0) {
      client.release()
      return
    }
    this.#unneeded = Math.min(this.#unneeded, this.#kept.length)
    this.#kept.push(client)
    this.#keptTimer ??= setTimeout(() => this.#releaseUnneeded(), KEPT_MS).unref()
  }

  #releaseUnneeded(): void {
    this.#keptTimer = undefined
    const unneeded = Math.min(this.#unneeded, this.#kept.length)
    for (const client of this.#kept.splice(0, unneeded)) client.release()
    this.#unneeded = this.#kept.length
    if (this.#kept.length > 0) this.#keptTimer = setTimeout(() => this.#releaseUnneeded(), KEPT_MS).unref()
  }

  /** A connection has died. One that runs a statement is dealt with when that has failed. */
  #discardIfKept(dead: object): void {
    const client = this.#kept.find((kept) => kept === dead)
    if (client === undefined) return
    this.#kept.splice(this.#kept.indexOf(client), 1)
    client.release(true)
  }

  #clientConfig(): pg.ClientConfig {
    const { url, ssl, applicationName, connectTimeoutMs, statementTimeoutMs, lockTimeoutMs } = this.#options
    return {
      connectionString: url,
      application_name: applicationName,
      connectionTimeoutMillis: connectTimeoutMs,
      keepAlive: true,
      types: TYPES,
      ...(ssl === undefined ? {} : { ssl }),
      ...(this.#sendsSettings
        ? {
            statement_timeout: statementTimeoutMs,
            lock_timeout: lockTimeoutMs,
            idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS
          }
        : {})
    }
  }

  /** A standby may answer with what has long been ended at the primary. */
  #standbyError(): Error {
    return new BackendUnavailableError(
      `PostgreSQL: the server at ${this.#server} is a standby or in recovery. Connect to the primary.`
    )
  }

  #explain(error: unknown, doing: string): Error {
    return toSessionError(error, `${doing} at ${this.#server}`)
  }

  #tooSlow(doing: string, limitMs: number): string {
    return `PostgreSQL: ${doing} at ${this.#server} was not answered within ${limitMs} ms.`
  }
}

/** What the application's callback throws is not the driver's: it is wrapped so that it can be told apart. */
function passwordSource(password: NonNullable<PoolOptions['password']>): () => Promise<string> {
  return async () => {
    try {
      return await password()
    } catch (cause) {
      throw new BackendUnavailableError('The option postgres.password, a function, failed.', { cause })
    }
  }
}

function runUnprepared<Row>(
  client: pg.PoolClient,
  { text, read }: Statement<Row>,
  parameters: readonly ParameterValue[],
  done: Done<Row>
): void {
  const values = parameters.map((value) => encode(value, Buffer.allocUnsafe))
  client.query<Array<string | null>>(
    { text, values, rowMode: 'array', types: AS_TEXT },
    (error: unknown, result) => {
      done(error, error ? [] : result.rows.map(read))
    }
  )
}
