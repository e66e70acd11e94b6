import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }

/*
 * The direction of imports (docs/design.md): what lies below knows nothing of what lies above. One table, and the few
 * things that only one place may do.
 */

/** A part of the source, and the parts that it may import besides itself. A part is a folder of src, or a file in it. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  config: ['core'],
  observability: ['core'],
  http: ['core', 'config'],
  backends: ['core', 'config', 'observability'],
  'default-session-service': ['core', 'config', 'observability', 'backends'],
  frameworks: ['core', 'config', 'observability', 'http', 'default-session-service'],
  copy: ['core', 'config', 'observability', 'backends', 'default-session-service'],
  testing: ['core', 'config', 'http', 'backends', 'default-session-service', 'frameworks'],
  cli: ['core', 'config', 'observability', 'backends', 'default-session-service', 'copy'],
  index: ['core', 'config', 'observability', 'backends', 'default-session-service']
}

const SRC = resolve(import.meta.dirname, '../../src')

interface Import {
  readonly file: string
  readonly specifier: string
  /** Erased by the compiler: costs nothing at run time. */
  readonly isType: boolean
  readonly isLazy: boolean
}

const files = globSync('**/*.ts', { cwd: SRC }).map((file) => file.replaceAll(sep, '/'))
const sources = new Map(
  files.map((file) => {
    const text = readFileSync(join(SRC, file), 'utf8')
    return [file, ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)]
  })
)
const imports = [...sources].flatMap(([file, source]) => importsOf(file, source))

function importsOf(file: string, source: ts.SourceFile): Import[] {
  const found: Import[] = []
  const visit = (node: ts.Node): void => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier) {
      const isType = ts.isImportDeclaration(node)
        ? node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword
        : node.isTypeOnly
      found.push({ file, specifier: textOf(node.moduleSpecifier), isType, isLazy: false })
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [argument] = node.arguments
      if (argument && ts.isStringLiteralLike(argument)) {
        found.push({ file, specifier: argument.text, isType: false, isLazy: true })
      }
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      found.push({ file, specifier: textOf(node.argument.literal), isType: true, isLazy: false })
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

function textOf(node: ts.Node): string {
  if (!ts.isStringLiteralLike(node)) throw new Error('A module specifier is a string')
  return node.text
}

/** 'backends' for backends/sqlite/adapter.ts, 'index' for index.ts. */
function partOf(file: string): string {
  const [first = ''] = file.split('/')
  return first.replace(/\.ts$/, '')
}

function packageOf(specifier: string): string {
  const [scope = '', name = ''] = specifier.split('/')
  return scope.startsWith('@') ? `${scope}/${name}` : scope
}

const isOwn = ({ specifier }: Import) => specifier.startsWith('.')
const isBuiltin = ({ specifier }: Import) => specifier.startsWith('node:')
const foreign = imports.filter((found) => !isOwn(found) && !isBuiltin(found))
const describeImport = ({ file, specifier }: Import) => `${file} imports ${specifier}`

describe('the source', () => {
  test('has imports to look at in every part', () => {
    expect(imports.filter(isOwn).length).toBeGreaterThan(20)
    expect(files.map(partOf).filter((part) => !Object.hasOwn(MAY_IMPORT, part))).toEqual([])
  })

  test('imports one way: nothing below knows what lies above', () => {
    const wrong = imports.filter(isOwn).filter((found) => {
      const from = partOf(found.file)
      const to = partOf(relative(SRC, join(SRC, dirname(found.file), found.specifier)).replaceAll(sep, '/'))
      return from !== to && !MAY_IMPORT[from]?.includes(to)
    })
    expect(wrong.map(describeImport)).toEqual([])
  })

  test('names its own files with their extension', () => {
    const wrong = imports.filter((found) => isOwn(found) && !found.specifier.endsWith('.ts'))
    expect(wrong.map(describeImport)).toEqual([])
  })

  test('reaches the official Keyv adapters and the database drivers in backends only', () => {
    const wrong = foreign.filter(
      ({ file, specifier }) => /^(@keyv\/|pg(\/|-|$)|redis$)/.test(specifier) && partOf(file) !== 'backends'
    )
    expect(wrong.map(describeImport)).toEqual([])
    const sqlite = imports.filter(({ specifier }) => specifier === 'node:sqlite')
    expect(sqlite.filter(({ file }) => partOf(file) !== 'backends').map(describeImport)).toEqual([])
  })

  test('knows a framework in src/frameworks, and in the testing tools that drive one, only', () => {
    const frameworks = Object.keys(packageJson.peerDependencies)
    const wrong = foreign.filter(
      ({ file, specifier }) =>
        frameworks.includes(packageOf(specifier)) && !['frameworks', 'testing'].includes(partOf(file))
    )
    expect(wrong.map(describeImport)).toEqual([])
  })

  test('loads at start only what npm installs with the package', () => {
    // @keyv/sqlite and @keyv/postgres are bundled.
    const present = [...Object.keys(packageJson.dependencies), '@keyv/sqlite', '@keyv/postgres']
    const wrong = foreign.filter(
      ({ isType, isLazy, specifier }) => !isType && !isLazy && !present.includes(packageOf(specifier))
    )
    expect(wrong.map(describeImport)).toEqual([])
  })

  test('reads the environment in from-env.ts only', () => {
    const readers = [...sources].filter(([, source]) => readsEnvironment(source)).map(([file]) => file)
    expect(readers).toEqual(['config/from-env.ts'])
  })

  test('exports by name, and never by wildcard', () => {
    const wrong = [...sources].filter(([, source]) =>
      source.statements.some(
        (statement) =>
          ts.isExportAssignment(statement) ||
          (ts.isExportDeclaration(statement) && !statement.exportClause) ||
          (ts.canHaveModifiers(statement) &&
            ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.DefaultKeyword) === true)
      )
    )
    expect(wrong.map(([file]) => file)).toEqual([])
  })
})

function readsEnvironment(node: ts.Node): boolean {
  const isProcess = (found: ts.Node) => ts.isIdentifier(found) && found.text === 'process'
  const reads =
    (ts.isPropertyAccessExpression(node) && node.name.text === 'env' && isProcess(node.expression)) ||
    (ts.isElementAccessExpression(node) && isProcess(node.expression)) ||
    (ts.isImportDeclaration(node) && /^(node:)?process$/.test(textOf(node.moduleSpecifier)))
  return reads || ts.forEachChild(node, (child) => readsEnvironment(child) || undefined) === true
}
