import { startPostgres } from './postgres.ts'

/**
 * One PostgreSQL for the whole run, or the one that `BODHI_TEST_PG_URL` names. Test files find it in that variable and
 * make a database each. A server that cannot start fails the run.
 */
export default async function setup(): Promise<() => Promise<void>> {
  if (process.env['BODHI_TEST_PG_URL']) return async () => {}
  const server = await startPostgres()
  process.env['BODHI_TEST_PG_URL'] = server.url
  return async () => {
    delete process.env['BODHI_TEST_PG_URL']
    await server.close()
  }
}
