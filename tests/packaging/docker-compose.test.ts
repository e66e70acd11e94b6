import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import packageJson from '../../package.json' with { type: 'json' }

const FILE = 'docker-compose-test-deps.yml'

interface Compose {
  readonly services: Readonly<
    Record<
      string,
      {
        readonly image: string
        readonly ports: readonly string[]
        readonly environment: Readonly<Record<string, string>>
        readonly healthcheck: { readonly test: readonly string[] }
      }
    >
  >
}

test('the compose file has the names that users of BodhiApp know', () => {
  const text = readFileSync(resolve(import.meta.dirname, '../..', FILE), 'utf8')
  const compose = parse(text, { strict: true, uniqueKeys: true }) as Compose // what follows checks its form
  expect(Object.keys(compose.services)).toEqual(['bodhi_session_db'])
  const database = compose.services['bodhi_session_db']
  expect(database?.image).toBe('postgres:18')
  expect(database?.ports).toEqual(['127.0.0.1:54320:5432'])
  expect(database?.environment).toEqual({
    POSTGRES_DB: 'bodhi_sessions',
    POSTGRES_USER: 'bodhi_test',
    POSTGRES_PASSWORD: 'bodhi_test'
  })
  expect(database?.healthcheck.test.join(' ')).toMatch(/pg_isready .*-U bodhi_test -d bodhi_sessions$/)
  // The address that the file tells its reader to use.
  expect(text).toContain('BODHI_TEST_PG_URL=postgres://bodhi_test:bodhi_test@127.0.0.1:54320/bodhi_sessions')
})

test('npm scripts start the services, wait until they are healthy, and remove them with their data', () => {
  expect(packageJson.scripts['test:deps:up']).toBe(`docker compose -f ${FILE} up -d --wait`)
  expect(packageJson.scripts['test:deps:down']).toBe(`docker compose -f ${FILE} down -v`)
})
