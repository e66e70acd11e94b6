import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { BackendError, BackendUnavailableError, ClosedError } from '../../../src/core/errors.ts'
import { createTestDatabase, startPostgres, type TestDatabase } from '../../support/postgres.ts'
import { entry, newStorage, openStorage, operator, sessionId, until } from './storage-fixture.ts'

let database: TestDatabase
const id = sessionId('a')

beforeEach(async (context) => {
  const fresh = await createTestDatabase()
  database = fresh
  context.onTestFinished(() => fresh.drop()) // the first to be registered is the last to run
})

describe('a server that restarts', () => {
  test.each(['fast', 'immediate'] as const)(
    '(%s): calls fail meanwhile, and work again afterwards',
    async (mode) => {
      await using server = await startPostgres()
      const storage = await openStorage(server.url)
      await storage.insert(id, entry({ kept: true }))
      await server.stop(mode)
      await expect(storage.read(id)).rejects.toBeInstanceOf(BackendUnavailableError)
      await expect(storage.touch(id)).rejects.toBeInstanceOf(BackendUnavailableError)
      await expect(storage.count()).rejects.toBeInstanceOf(BackendUnavailableError)
      await expect(storage.ping()).rejects.toBeInstanceOf(BackendUnavailableError)
      await server.start()
      expect(await storage.read(id)).toMatchObject({ value: '{"kept":true}' })
      await storage.disconnect()
    }
  )

  test('in the middle of batches: every caller is answered once, and what was acknowledged is there afterwards', async () => {
    await using server = await startPostgres()
    const storage = await openStorage(server.url)
    const answers = new Map<number, 'stored' | 'failed'>()
    let answered = 0
    let stopped: Promise<void> | undefined
    await Promise.all(
      Array.from({ length: 3_000 }, async (_, i) => {
        const answer = await storage.put(sessionId(i), entry({ i }), 'insert').then(
          () => 'stored' as const,
          (error: unknown) => {
            expect(error).toBeInstanceOf(BackendUnavailableError)
            return 'failed' as const
          }
        )
        expect(answers.has(i)).toBe(false)
        answers.set(i, answer)
        if (++answered === 200) stopped = server.stop('immediate')
      })
    )
    await stopped
    expect(answers.size).toBe(3_000)
    await server.start()
    const stored = [...answers].filter(([, answer]) => answer === 'stored')
    expect(stored.length).toBeGreaterThanOrEqual(200)
    expect(stored.length).toBeLessThan(3_000)
    const rows = await Promise.all(stored.map(([i]) => storage.read(sessionId(i))))
    expect(rows.every((row) => row !== undefined)).toBe(true)
    await storage.disconnect()
  })
})

test('connections that an operator terminates are replaced', async () => {
  const storage = await openStorage(database.url, { applicationName: 'to be terminated' })
  await Promise.all(Array.from({ length: 50 }, (_, i) => storage.insert(sessionId(i), entry())))
  const client = await operator(database.url)
  const { rows } = await client.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'to be terminated'"
  )
  expect(rows.length).toBeGreaterThan(0)
  // A connection whose end has not arrived here yet may fail one call, never more.
  await until(() =>
    storage.ping().then(
      () => true,
      () => false
    )
  )
  const read = await Promise.all(Array.from({ length: 50 }, (_, i) => storage.read(sessionId(i))))
  expect(read.every((row) => row !== undefined)).toBe(true)
})

test('connections that were terminated while nothing used them cost no call', async () => {
  const storage = await openStorage(database.url, { applicationName: 'terminated at rest' })
  await Promise.all(Array.from({ length: 50 }, (_, i) => storage.insert(sessionId(i), entry())))
  const client = await operator(database.url)
  const connections = "from pg_stat_activity where application_name = 'terminated at rest'"
  await client.query(`select pg_terminate_backend(pid) ${connections}`)
  await until(async () => (await client.query(`select 1 ${connections}`)).rowCount === 0)
  // What the server sent to them has arrived before its answer to this.
  await client.query('select 1')
  const read = await Promise.all(Array.from({ length: 50 }, (_, i) => storage.read(sessionId(i))))
  expect(read.every((row) => row !== undefined)).toBe(true)
})

test('a call whose connection is terminated under it fails as unavailable', async () => {
  const storage = await openStorage(database.url, { applicationName: 'victim', lockTimeoutMs: 10_000 })
  await storage.insert(id, entry())
  const client = await operator(database.url)
  await client.query('begin; select * from bodhi_sessions for update')
  const touched = storage.touch(id).catch((error: unknown) => error)
  const watcher = await operator(database.url)
  await until(async () => {
    const { rowCount } = await watcher.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'victim' and wait_event_type = 'Lock'"
    )
    return (rowCount ?? 0) > 0
  })
  expect(await touched).toBeInstanceOf(BackendUnavailableError)
  await client.query('commit')
  expect(await storage.touch(id)).toBeDefined()
})

describe('time-outs', () => {
  test('a locked table fails calls of all kinds as unavailable, and they work once it is free', async () => {
    const storage = await openStorage(database.url, { lockTimeoutMs: 100 })
    await storage.insert(id, entry())
    const client = await operator(database.url)
    await client.query('begin; lock table bodhi_sessions in access exclusive mode')
    const calls = [
      storage.read(id),
      storage.touch(id),
      storage.put(sessionId('b'), entry(), 'insert'),
      storage.end(sessionId('c')),
      storage.count(),
      storage.endByUser('u')
    ]
    for (const result of await Promise.allSettled(calls)) {
      expect(result).toMatchObject({ status: 'rejected', reason: expect.any(BackendUnavailableError) })
    }
    await client.query('rollback')
    expect(await storage.read(id)).toBeDefined()
  })

  test('one locked row fails its own calls alone', async () => {
    const storage = await openStorage(database.url, { lockTimeoutMs: 100 })
    const ids = Array.from({ length: 40 }, (_, i) => sessionId(i))
    await Promise.all(ids.map((each) => storage.insert(each, entry())))
    const client = await operator(database.url)
    await client.query('begin')
    await client.query('select * from bodhi_sessions where key = $1 for update', [ids[17]])
    const results = await Promise.allSettled(ids.map((each) => storage.touch(each)))
    const failed = results.flatMap((result, i) => (result.status === 'rejected' ? [[i, result.reason]] : []))
    expect(failed).toEqual([[17, expect.any(BackendUnavailableError)]])
    await client.query('rollback')
  })

  test('a statement that takes too long is cancelled by the server', async () => {
    const storage = await openStorage(database.url, { statementTimeoutMs: 100, lockTimeoutMs: 60_000 })
    const client = await operator(database.url)
    await client.query('begin; lock table bodhi_sessions in access exclusive mode')
    await expect(storage.count()).rejects.toMatchObject({
      code: 'SESSION_BACKEND_UNAVAILABLE',
      cause: { code: '57014' }
    })
    await client.query('rollback')
    expect(await storage.count()).toBe(0)
  })

  test('a server that has frozen fails calls by the clock of this side', async () => {
    await using server = await startPostgres()
    const storage = await openStorage(server.url, {
      statementTimeoutMs: 100,
      connectTimeoutMs: 300,
      maxConnections: 1
    })
    await storage.insert(id, entry())
    const client = await operator(server.url)
    const { rows } = await client.query<{ pid: number }>(
      "select pid from pg_stat_activity where application_name = 'bodhi-session'"
    )
    const pids = [server.pid, ...rows.map(({ pid }) => pid)].filter((pid) => pid !== undefined)
    for (const pid of pids) process.kill(pid, 'SIGSTOP')
    await expect(storage.read(id)).rejects.toBeInstanceOf(BackendUnavailableError)
    await expect(storage.read(id)).rejects.toBeInstanceOf(BackendUnavailableError)
    for (const pid of pids) process.kill(pid, 'SIGCONT')
    expect(await storage.read(id)).toBeDefined()
    await storage.disconnect()
  })

  test('an address that does not answer fails ready() after the connect time-out', async () => {
    const silent = createServer(() => {})
    silent.listen(0, '127.0.0.1')
    await once(silent, 'listening')
    onTestFinished(() => void silent.close())
    const storage = newStorage(`postgres://u:geheim@127.0.0.1:${portOf(silent)}/db`, {
      connectTimeoutMs: 100
    })
    const failure = await storage.ready().catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(BackendUnavailableError)
    expect(String(failure)).not.toContain('geheim')
  })
})

describe('passwords', () => {
  test('a callback is asked for each connection, and wins over the URL', async () => {
    const url = new URL(database.url)
    const { password } = url
    url.password = 'wrong'
    let asked = 0
    const storage = await openStorage(url.href, {
      password: async () => {
        asked++
        return password
      }
    })
    expect(await storage.count()).toBe(0)
    expect(asked).toBe(1)
  })

  test('a callback that fails is named as the cause, and keeps no connection open', {
    timeout: 30_000
  }, async () => {
    // The server would close it after its authentication_timeout of a minute, and closing the store would wait for that.
    const cause = new Error('the vault is sealed')
    const storage = newStorage(database.url, { password: () => Promise.reject(cause) })
    await expect(storage.ready()).rejects.toMatchObject({ code: 'SESSION_BACKEND_UNAVAILABLE', cause })
  })

  test('a wrong password is refused by name, and not shown', async () => {
    const url = new URL(database.url)
    url.password = 'geheim'
    const failure = await newStorage(url.href)
      .ready()
      .catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(BackendError)
    expect(String(failure)).toContain('28P01')
    expect(JSON.stringify(failure, Object.getOwnPropertyNames(failure)) + String(failure)).not.toContain(
      'geheim'
    )
  })
})

describe('behind a pooler', () => {
  test('prepared statements switch themselves off where connections do not carry them', async () => {
    const storage = await openStorage(database.url, { maxConnections: 1 })
    await storage.insert(id, entry())
    expect(await storage.read(id)).toBeDefined()
    await storage['query']('deallocate all') // what another server connection would look like
    expect(await storage.read(id)).toBeDefined()
    const names = await storage['query']('select name from pg_prepared_statements')
    expect(names).toEqual([])
  })

  test('with preparedStatements: false nothing is prepared', async () => {
    const storage = await openStorage(database.url, { maxConnections: 1, preparedStatements: false })
    await storage.insert(id, entry())
    await storage.read(id)
    expect(await storage['query']('select name from pg_prepared_statements')).toEqual([])
  })

  describe.each(['refuses', 'swallows'] as const)('that %s our start-up parameters', (manner) => {
    let pooler: { readonly port: number; refused: number }
    let url: URL

    beforeEach(async () => {
      pooler = await startPickyPooler(new URL(database.url), manner)
      url = new URL(database.url)
      url.host = `127.0.0.1:${pooler.port}`
    })

    test('sessions are written and read', async () => {
      const storage = await openStorage(url.href)
      await storage.insert(id, entry())
      expect(await storage.read(id)).toBeDefined()
      expect(pooler.refused).toBe(manner === 'refuses' ? 1 : 0)
    })

    test('batches lock their rows before they change them, as their plans may take any order', async () => {
      const storage = await openStorage(url.href, { maxConnections: 1 })
      const ids = Array.from({ length: 20 }, (_, n) => sessionId(n))
      await Promise.all(ids.map((each) => storage.insert(each, entry())))
      const touched = await Promise.all(ids.map((each) => storage.touch(each)))
      expect(touched).not.toContain(undefined)
      const sql = 'select statement from pg_prepared_statements'
      const prepared = (await storage['query'](sql)) as Array<{ statement: string }>
      const batches = prepared.filter(({ statement }) => /^with p .*update .*last_active_at/s.test(statement))
      expect(batches).toEqual([{ statement: expect.stringContaining('for no key update') }])
    })
  })
})

test('a database that takes no writes is unavailable', async () => {
  const storage = newStorage(database.url)
  const client = await operator(database.url)
  await storage.ready()
  await client.query(
    `alter database ${new URL(database.url).pathname.slice(1)} set default_transaction_read_only = on`
  )
  const readOnly = newStorage(database.url)
  await readOnly.ready()
  await expect(readOnly.insert(id, entry())).rejects.toMatchObject({
    code: 'SESSION_BACKEND_UNAVAILABLE',
    cause: { code: '25006' }
  })
})

test('more calls than maxQueued are refused at once; those that wait are answered', async () => {
  const storage = await openStorage(database.url, { maxQueued: 100 })
  const calls = Array.from({ length: 500 }, (_, i) => storage.insert(sessionId(i), entry()))
  const results = await Promise.allSettled(calls)
  const refused = results.filter(({ status }) => status === 'rejected')
  expect(results.length - refused.length).toBe(102) // those that wait, and those that left at once on two lanes
  for (const result of refused) {
    expect(result).toMatchObject({ reason: { code: 'SESSION_BACKEND_UNAVAILABLE', retryable: true } })
  }
  expect(await storage.count()).toBe(102)
})

test('disconnect() answers what is under way, then refuses', async () => {
  const storage = await openStorage(database.url)
  const calls = [
    ...Array.from({ length: 500 }, (_, i) => storage.insert(sessionId(i), entry())),
    storage.count(),
    storage.prune()
  ]
  await Promise.all([storage.disconnect(), storage.disconnect()])
  const results = await Promise.allSettled(calls)
  expect(results.every(({ status }) => status === 'fulfilled')).toBe(true)
  await expect(storage.read(id)).rejects.toBeInstanceOf(ClosedError)
  await expect(storage.count()).rejects.toBeInstanceOf(ClosedError)
  await expect(storage.ready()).rejects.toBeInstanceOf(ClosedError)
})

test('two stores on one URL share no pool: one goes on when the other is closed', async () => {
  const one = await openStorage(database.url)
  const two = await openStorage(database.url)
  await one.disconnect()
  expect(await two.insert(id, entry())).toBeDefined()
})

/**
 * Passes on all but start-up parameters that it would have to keep for each client: refuses those, as pgbouncer does, or
 * leaves them out without a word.
 */
async function startPickyPooler(
  target: URL,
  manner: 'refuses' | 'swallows'
): Promise<{ readonly port: number; refused: number }> {
  const pooler = { port: 0, refused: 0 }
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    sockets.add(client)
    client.on('error', () => {})
    client.once('data', (startup) => {
      if (manner === 'refuses' && startup.includes('statement_timeout')) {
        pooler.refused++
        client.end(errorResponse('08P01', 'unsupported startup parameter: statement_timeout'))
        return
      }
      const upstream = connect(Number(target.port), target.hostname)
      sockets.add(upstream)
      upstream.on('error', () => {})
      upstream.write(withoutSettings(startup))
      client.pipe(upstream).pipe(client)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  pooler.port = portOf(server)
  return pooler
}

/** A StartupMessage of the protocol, its length and version followed by names and values, with the user and database only. */
function withoutSettings(startup: Buffer): Buffer {
  const words = startup.toString('utf8', 8).split('\0')
  const kept = ['user', 'database'].flatMap((name) => [name, words[words.indexOf(name) + 1]])
  const body = Buffer.from(`${kept.join('\0')}\0\0`)
  const head = Buffer.from(startup.subarray(0, 8))
  head.writeInt32BE(head.length + body.length)
  return Buffer.concat([head, body])
}

/** An ErrorResponse of the protocol: 'E', the length, then fields of a letter and a string each. */
function errorResponse(code: string, message: string): Buffer {
  const fields = Buffer.from(`SFATAL\0VFATAL\0C${code}\0M${message}\0\0`)
  const head = Buffer.alloc(5)
  head.write('E')
  head.writeInt32BE(fields.length + 4, 1)
  return Buffer.concat([head, fields])
}

function portOf(server: ReturnType<typeof createServer>): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no TCP port')
  return address.port
}
