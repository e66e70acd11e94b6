import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Runs an ES module in a process of its own; it imports the project's sources relative to the repository's root. */
export function runScript(script: string): Promise<{ stdout: string; stderr: string; code: number | null }> {
  return new Promise((resolve) => {
    const args = ['--input-type=module', '--eval', script]
    const child = execFile(process.execPath, args, { cwd: ROOT }, (_error, stdout, stderr) => {
      resolve({ stdout, stderr, code: child.exitCode })
    })
  })
}
