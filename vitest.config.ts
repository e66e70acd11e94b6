import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

/** Where `.ci/run` wants the results as JSON, one file a run, to sum them up. */
const results = process.env['BODHI_TEST_RESULTS']

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    globalSetup: ['tests/support/global-setup.ts'],
    pool: 'forks',
    // Long, since a busy machine is no bug. A test that hangs still ends.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    typecheck: { tsconfig: 'tsconfig.json', include: ['tests/**/*.test-d.ts'] },
    reporters: results
      ? ['default', ['json', { outputFile: join(results, `${Date.now()}-${process.pid}.json`) }]]
      : ['default']
  }
})
