import { existsSync, globSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }
import {
  createProject,
  type PackedPackage,
  type Project,
  packPackage,
  readJson
} from '../support/packed-package.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'

/*
 * What npm publishes, installed where nothing of this repository is near.
 */

const ROOT = resolve(import.meta.dirname, '../..')
/** The oldest Node that package.json supports, and the one that runs the tests. */
const OLDEST_NODE = packageJson.engines.node.replace('>=', '')
const ENTRIES = Object.entries(packageJson.exports).flatMap(([path, target]) =>
  typeof target === 'string' ? [] : [{ path, target, name: path === '.' ? 'index' : path.slice(2) }]
)

let packed: PackedPackage
let oldNode: Project
let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase()
  oldNode = await createProject()
  await oldNode.install(`node@${OLDEST_NODE}`)
  packed = await packPackage()
})

afterAll(async () => {
  await Promise.all([packed, oldNode, database].map((resource) => resource?.[Symbol.asyncDispose]()))
})

/** The programs of the Nodes that are tried, by what `node --version` must say. */
function nodes(): readonly { version: string; program: string }[] {
  return [
    { version: `v${OLDEST_NODE}`, program: join(oldNode.dir, 'node_modules/.bin/node') },
    { version: process.version, program: process.execPath }
  ]
}

describe('the tarball', () => {
  test('holds the build, the licence, the notices and the documents, and nothing else', () => {
    const outside = packed.files.filter((file) => !file.startsWith('dist/'))
    expect(outside.sort()).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'THIRD-PARTY-NOTICES.md',
      'package.json'
    ])
    expect(
      packed.files.filter((file) => !/\.(js|cjs|d\.ts|d\.cts|map|md|json)$|^LICENSE$/.test(file))
    ).toEqual([])
  })

  test('has every file that exports names, and exports every entry that was built', () => {
    const named = ENTRIES.flatMap(({ target }) =>
      Object.values(target).flatMap((kind) => Object.values(kind))
    )
    expect(named.filter((file) => !packed.files.includes(file.replace('./', '')))).toEqual([])

    // A shared part has a hash in its name; what has none is an entry.
    const built = packed.files
      .filter((file) => /^dist\/[a-z]+\.(js|cjs|d\.ts|d\.cts)$/.test(file))
      .map((file) => `./${file}`)
    expect(built.sort()).toEqual(named.sort())
  })

  test('gives each entry types and code for import and for require', () => {
    for (const { name, target } of ENTRIES) {
      expect(target).toEqual({
        import: { types: `./dist/${name}.d.ts`, default: `./dist/${name}.js` },
        require: { types: `./dist/${name}.d.cts`, default: `./dist/${name}.cjs` }
      })
    }
    const { main, module, types } = packageJson
    expect({ main, module, types }).toEqual({
      main: './dist/index.cjs',
      module: './dist/index.js',
      types: './dist/index.d.ts'
    })
  })

  test('bundles the two official adapters and no other package, and ships their licence', async () => {
    const maps = globSync('*.js.map', { cwd: packed.dist }).map((file) => join(packed.dist, file))
    const sources = (await Promise.all(maps.map(readJson))).flatMap(
      (map) => (map as { sources: string[] }).sources
    )
    const bundled = sources.map((source) => source.match(/.*node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1])
    const packages = [...new Set(bundled.filter((name) => name !== undefined))].sort()
    expect(packages).toEqual(['@keyv/postgres', '@keyv/sqlite'])

    const notices = readFileSync(join(ROOT, 'THIRD-PARTY-NOTICES.md'), 'utf8')
    for (const name of packages) {
      const folder = join(ROOT, 'node_modules', name)
      const { version } = (await readJson(join(folder, 'package.json'))) as { version: string }
      expect(notices).toContain(`${name} ${version}`)
      const copyright = readFileSync(join(folder, 'LICENSE'), 'utf8').match(/^Copyright .*$/gm)
      expect(copyright?.length).toBeGreaterThan(0)
      for (const line of copyright ?? []) expect(notices).toContain(line)
    }
  })

  test('imports nothing that npm does not install with it, and node:sqlite by its full name', () => {
    const allowed = [...Object.keys(packageJson.dependencies), ...Object.keys(packageJson.peerDependencies)]
    const code = globSync('*.{js,cjs}', { cwd: packed.dist }).map((file) =>
      readFileSync(join(packed.dist, file), 'utf8')
    )
    const imported = code.flatMap((text) =>
      [
        ...text.matchAll(
          /^(?:import|export)\b[^;'"]*["']([^"']+)["']|\b(?:import|require)\(["']([^"']+)["']\)/gm
        )
      ].map(([, statement, call]) => statement ?? call ?? '')
    )
    expect(imported).toContain('node:sqlite')
    const foreign = imported.filter(
      (specifier) => !/^(\.|node:)/.test(specifier) && !allowed.includes(specifier)
    )
    expect([...new Set(foreign)]).toEqual([])
  })
})

describe('npm install in an empty project', () => {
  let project: Project
  let output: string

  beforeAll(async () => {
    project = await createProject()
    const began = performance.now()
    output = await project.install(packed.tarball)
    console.info(`npm install of the tarball took ${Math.round(performance.now() - began)} ms`)
    const consumer = (header: string, footer: string) => `${header}
      const { pathToFileURL } = require('node:url')
      ${footer}`
    await project.write({
      'esm.mjs': `
        import { createRequire } from 'node:module'
        import { DefaultSessionService } from 'bodhi-session'
        const require = createRequire(import.meta.url)
        ${CONSUMER}
        await main(DefaultSessionService, require)`,
      'cjs.cjs': consumer(
        `const { DefaultSessionService } = require('bodhi-session')`,
        `${CONSUMER}
        main(DefaultSessionService, require)`
      )
    })
  })

  afterAll(() => project?.[Symbol.asyncDispose]())

  test('runs no install script, compiles nothing and brings no binary', () => {
    expect(output).not.toMatch(/install-scripts|node-gyp|prebuild/)
    const folder = join(project.dir, 'node_modules')
    const installed = globSync(['*/package.json', '@*/*/package.json'], { cwd: folder })
    expect(installed.length).toBeGreaterThan(5)
    for (const file of installed) {
      const { scripts = {} } = JSON.parse(readFileSync(join(folder, file), 'utf8')) as {
        scripts?: Record<string, string>
      }
      for (const name of ['preinstall', 'install', 'postinstall'])
        expect(`${file}: ${scripts[name]}`).toBe(`${file}: undefined`)
    }
    expect(globSync('**/{binding.gyp,*.node}', { cwd: folder })).toEqual([])
    for (const name of [
      'better-sqlite3',
      '@keyv/sqlite',
      '@keyv/postgres',
      ...Object.keys(packageJson.peerDependencies)
    ]) {
      expect(existsSync(join(folder, name)), name).toBe(false)
    }
  })

  test.each(['esm.mjs', 'cjs.cjs'])(
    '%s creates, loads and destroys on both backends, on every Node',
    async (file) => {
      for (const { version, program } of nodes()) {
        for (const [backend, url] of Object.entries({
          sqlite: `sqlite:${join(project.dir, `${file}-${version}.sqlite`)}`,
          postgres: database.url
        })) {
          const result: unknown = JSON.parse(await project.run(program, file, url))
          expect(result).toEqual({
            version,
            data: { user_id: 'ada', visits: 1 },
            destroyed: true,
            after: 'undefined',
            pgAtImport: false,
            pgAtEnd: backend === 'postgres'
          })
        }
      }
    }
  )

  test.each(ENTRIES.map(({ path, name }) => ({ path, name })))(
    'entry $name exports the same names by import and by require, or says what to install',
    async ({ path }) => {
      const specifier = join('bodhi-session', path)
      const script = (load: string) =>
        `${load}.then((m) => console.log(JSON.stringify(Object.keys(m).filter((key) => !/^(default|__esModule|module\\.exports)$/.test(key)).sort())),
          (error) => console.log(JSON.stringify([error.code, error.message])))`
      const byImport = script(`import('${specifier}')`)
      const byRequire = script(`Promise.resolve().then(() => require('${specifier}'))`)
      for (const { program } of nodes()) {
        const imported: unknown = JSON.parse(await project.run(program, '-e', byImport))
        expect(JSON.parse(await project.run(program, '-e', byRequire))).toEqual(imported)
        if (!Array.isArray(imported)) throw new Error('The script prints a list')
        if (imported[0] === 'SESSION_CONFIGURATION') expect(imported[1]).toMatch(/Run: npm install /)
        else expect(imported.length).toBeGreaterThan(0)
      }
    }
  )
})

describe('TypeScript consumers', () => {
  let project: Project

  beforeAll(async () => {
    project = await createProject()
    const development: Readonly<Record<string, string>> = packageJson.devDependencies
    const names = [...Object.keys(packageJson.peerDependencies), 'koa', 'express', 'fastify', 'typescript']
    const types = ['node', 'pg', 'express', 'express-session', 'koa'].map((name) => `@types/${name}`)
    await project.install(
      packed.tarball,
      ...[...names, ...types].map((name) => `${name}@${development[name] ?? '*'}`)
    )
    const imports = ENTRIES.map(
      ({ path, name }) => `export * as ${name} from '${join('bodhi-session', path)}'`
    )
    await project.write({
      'entries.mts': imports.join('\n'),
      'entries.cts': imports.join('\n'),
      'service.mts': `${SERVICE}\nawait main(String(process.argv[2]))`,
      'service.cts': `${SERVICE}\nvoid main(String(process.argv[2]))`,
      'bundler/entries.ts': imports.join('\n'),
      'bundler/service.ts': SERVICE
    })
  })

  afterAll(() => project?.[Symbol.asyncDispose]())

  /** What the compiler has to say of our declarations and of the consumer's own files; libraries are checked. */
  async function compile(
    files: readonly string[],
    options: Readonly<Record<string, unknown>>
  ): Promise<string[]> {
    await project.write({
      'tsconfig.json': JSON.stringify({
        compilerOptions: {
          target: 'ES2022',
          types: ['node'],
          strict: true,
          exactOptionalPropertyTypes: true,
          noUncheckedIndexedAccess: true,
          skipLibCheck: false,
          rootDir: '.',
          ...options
        },
        files
      })
    })
    const compiler = ['node_modules/typescript/bin/tsc', '--pretty', 'false']
    const report = await project.run(process.execPath, ...compiler).catch(String)
    const errors = report.split('\n').filter((line) => line.includes('error TS'))
    // Other people's declarations disagree with each other at times; ours must not disagree with anything.
    return errors.filter(
      (line) => !line.startsWith('node_modules/') || line.includes('node_modules/bodhi-session/')
    )
  }

  test('NodeNext takes the types of every entry, for import and for require', async () => {
    const files = ['entries.mts', 'entries.cts', 'service.mts', 'service.cts']
    expect(await compile(files, { module: 'NodeNext', outDir: 'out/nodenext' })).toEqual([])
    for (const { version, program } of nodes()) {
      for (const file of ['service.mjs', 'service.cjs']) {
        const url = `sqlite:${join(project.dir, `${file}-${version}.sqlite`)}`
        expect(await project.run(program, join('out/nodenext', file), url)).toBe('1 true\n')
      }
    }
  })

  test('Bundler takes the types of every entry', async () => {
    const files = ['bundler/entries.ts', 'bundler/service.ts']
    const options = { module: 'ESNext', moduleResolution: 'Bundler', outDir: 'out/bundler' }
    expect(await compile(files, options)).toEqual([])
    expect(existsSync(join(project.dir, 'out/bundler/bundler/service.js'))).toBe(true)
  })

  test('data of the wrong form is refused by the compiler', async () => {
    await project.write({ 'wrong.mts': SERVICE.replace('visits: 1', "visits: 'once'") })
    const errors = await compile(['wrong.mts'], { module: 'NodeNext', noEmit: true })
    expect(errors).toEqual([expect.stringContaining('error TS2322')])
  })
})

/** What the ES module and the CommonJS consumer share; `require.cache` lists the CommonJS modules that were loaded. */
const CONSUMER = `
  async function main(DefaultSessionService, require) {
    const hasPg = () => Object.keys(require.cache).some((file) => /[\\\\/]node_modules[\\\\/]pg[\\\\/]/.test(file))
    const pgAtImport = hasPg()
    const sessions = await DefaultSessionService.connect(process.argv[2])
    const { token } = await sessions.create({ user_id: 'ada', visits: 1 })
    const { data } = await sessions.load(token)
    const destroyed = await sessions.destroy(token)
    const after = String(await sessions.load(token))
    await sessions.close()
    console.log(JSON.stringify({ version: process.version, data, destroyed, after, pgAtImport, pgAtEnd: hasPg() }))
  }`

const SERVICE = `
import { DefaultSessionService, type Session, SessionError } from 'bodhi-session'

interface Visits { visits: number }

export async function main(url: string): Promise<void> {
  const sessions = await DefaultSessionService.connect<Visits>(url, { idleTimeoutMs: 60_000 })
  try {
    const session: Session<Visits> = await sessions.create({ visits: 1 })
    const visits: number | undefined = (await sessions.load(session.token))?.data.visits
    console.log(visits, await sessions.destroy(session.token))
  } catch (error) {
    if (error instanceof SessionError) console.log(error.code, error.retryable)
    throw error
  } finally {
    await sessions.close()
  }
}
`
