import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/*
 * node scripts/sum-results.ts <folder>
 *
 * Adds up the JSON reports that vitest left in the folder and prints 'N passed, N failed'. A file that failed before
 * any of its tests ran counts as one failure. Exit code 1 where something failed, or where nothing ran at all.
 */

interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly success: boolean
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly unknown[] }[]
}

const [folder] = process.argv.slice(2)
if (!folder) throw new Error('usage: node scripts/sum-results.ts <folder>')

let passed = 0
let failed = 0
for (const file of readdirSync(folder).filter((name) => name.endsWith('.json'))) {
  const report = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Report // vitest's own form
  passed += report.numPassedTests
  const emptyFailures = report.testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0
  ).length
  // Nothing is skipped in this project, so a test that did not run is a failure as well.
  const failures = report.numFailedTests + report.numPendingTests + emptyFailures
  failed += failures === 0 && !report.success ? 1 : failures
}
console.log(`${passed} passed, ${failed} failed`)
if (failed > 0 || passed === 0) process.exitCode = 1
