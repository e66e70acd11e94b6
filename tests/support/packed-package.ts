import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

/*
 * The package as npm would publish it, and empty projects that install it.
 */

const ROOT = resolve(import.meta.dirname, '../..')
const run = promisify(execFile)

/** What the build and `npm pack` need. The shared `dist` stays out of it: others may be building or using that. */
const INPUTS = [
  'src',
  'package.json',
  'tsconfig.json',
  'tsup.config.ts',
  'README.md',
  'CHANGELOG.md',
  'LICENSE',
  'THIRD-PARTY-NOTICES.md'
]

export interface PackedPackage extends AsyncDisposable {
  readonly dist: string
  readonly tarball: string
  /** Paths inside the tarball. */
  readonly files: readonly string[]
}

export interface Project extends AsyncDisposable {
  readonly dir: string
  /** `npm install` of what package.json names; resolves to what npm printed. */
  install(...packages: string[]): Promise<string>
  write(files: Readonly<Record<string, string>>): Promise<void>
  /** Runs a program in the project, to its end; resolves to its standard output. */
  run(program: string, ...args: string[]): Promise<string>
}

/** Builds the package from its sources and packs it, the way `npm publish` does. */
export async function packPackage(): Promise<PackedPackage> {
  const dir = await mkdtemp(join(tmpdir(), 'bodhi-session-pack-'))
  const remove = () => rm(dir, { recursive: true, force: true })
  try {
    await Promise.all(INPUTS.map((path) => cp(join(ROOT, path), join(dir, path), { recursive: true })))
    await symlink(join(ROOT, 'node_modules'), join(dir, 'node_modules'))
    // prepack builds; what the build prints would otherwise precede the JSON.
    const { stdout } = await runIn(dir, 'npm', ['pack', '--json', '--foreground-scripts=false'])
    const [packed] = JSON.parse(stdout) as { filename: string; files: { path: string }[] }[] // npm's documented form
    if (!packed) throw new Error(`npm pack packed nothing: ${stdout}`)
    return {
      dist: join(dir, 'dist'),
      tarball: join(dir, packed.filename),
      files: packed.files.map(({ path }) => path),
      [Symbol.asyncDispose]: remove
    }
  } catch (error) {
    await remove()
    throw error
  }
}

/** An empty project, outside of this repository so that nothing resolves into it. */
export async function createProject(): Promise<Project> {
  const dir = await mkdtemp(join(tmpdir(), 'bodhi-session-consumer-'))
  const write = async (files: Readonly<Record<string, string>>): Promise<void> => {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(resolve(dir, name, '..'), { recursive: true })
      await writeFile(join(dir, name), text)
    }
  }
  await write({ 'package.json': JSON.stringify({ name: 'consumer', version: '1.0.0', private: true }) })
  return {
    dir,
    write,
    async install(...packages) {
      const { stdout, stderr } = await runIn(dir, 'npm', ['install', '--prefer-offline', ...packages])
      return stdout + stderr
    },
    async run(program, ...args) {
      const { stdout } = await runIn(dir, program, args)
      return stdout
    },
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true })
  }
}

export async function readJson(path: string): Promise<unknown> {
  return JSON.parse(await readFile(path, 'utf8'))
}

async function runIn(cwd: string, program: string, args: readonly string[]) {
  // What `npm test` hands down would make the inner npm work on this repository; a consumer has none of it.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_OPTIONS$|NODE_PATH$|VITEST)/i.test(name))
  )
  try {
    return await run(program, args, { cwd, env, maxBuffer: 64 * 1024 * 1024, timeout: 300_000 })
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string } // execFile adds them
    throw new Error(`${program} ${args.join(' ')} failed:\n${stdout}\n${stderr}`, { cause: error })
  }
}
