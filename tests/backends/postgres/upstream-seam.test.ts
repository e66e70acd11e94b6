import { KeyvPostgres } from '@keyv/postgres'
import pg from 'pg'
import { expect, test } from 'vitest'
import { newStorage } from './storage-fixture.ts'

const HINT =
  'upstream has changed: read src/backends/postgres/upstream-seam.ts and adapt it to the new version'

test('KeyvPostgres still reaches the database through init and connect, which the store replaces', async () => {
  const calls: string[] = []
  class Probe extends KeyvPostgres {
    static {
      Object.assign(Probe.prototype, {
        async init() {
          calls.push('init')
          return async (sql: string) => {
            calls.push(sql)
            return []
          }
        }
      })
    }
  }
  const probe = new Probe('postgres://127.0.0.1:1/none')
  await probe.clearExpired()
  expect(calls[0], HINT).toBe('init')
  expect(calls[1], HINT).toMatch(/^DELETE FROM/)
  expect(Object.getOwnPropertyNames(KeyvPostgres.prototype), HINT).toEqual(
    expect.arrayContaining(['init', 'connect'])
  )
})

test('every method of KeyvPostgres that reads or writes is replaced by one of the store', () => {
  const storage = newStorage('postgres://127.0.0.1:1/none')
  const own = Object.getOwnPropertyNames(Object.getPrototypeOf(storage))
  const inherited = Object.getOwnPropertyNames(KeyvPostgres.prototype).filter((name) => !own.includes(name))
  expect(inherited.sort(), HINT).toEqual([
    'capabilities',
    'clearExpiredInterval',
    'getNamespaceValue',
    'iterationLimit',
    'keyLength',
    'namespace',
    'namespaceLength',
    'removeKeyPrefix',
    'schema',
    'setOptions',
    'ssl',
    'startClearExpiredTimer',
    'stopClearExpiredTimer',
    'table',
    'uri',
    'useUnloggedTable'
  ])
})

test('a store is a KeyvPostgres, and building it connects to nothing', () => {
  expect(newStorage('postgres://127.0.0.1:1/none')).toBeInstanceOf(KeyvPostgres)
})

test('pg still notes on its connections which statements they have prepared', () => {
  const { connection } = new pg.Client({ connectionString: 'postgres://127.0.0.1:1/none' })
  const changed =
    'pg has changed: read src/backends/postgres/prepared-query.ts and adapt it to the new version'
  expect(connection, changed).toMatchObject({ parsedStatements: {}, submittedNamedStatements: {} })
})
