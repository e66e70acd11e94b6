import { defineConfig, type Options } from 'tsup'

type Plugin = NonNullable<Options['esbuildPlugins']>[number]

/**
 * Our SQLite adapter gives @keyv/sqlite a driver on `node:sqlite`, so the ones that it would look for by itself are never
 * reached. Left in, they would put imports of better-sqlite3 and bun:sqlite, which nobody has, into the package.
 */
const leaveOutUnusedDrivers: Plugin = {
  name: 'leave-out-unused-drivers',
  setup(build) {
    build.onResolve({ filter: /^(bun:sqlite$|\.\/(better-sqlite3|bun-sqlite)-driver-)/ }, ({ path }) => ({
      path,
      namespace: 'unused-driver'
    }))
    build.onLoad({ filter: /.*/, namespace: 'unused-driver' }, ({ path }) => ({
      contents: `throw new Error('${path} is not part of bodhi-session'); export {}`
    }))
  }
}

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    express: 'src/frameworks/express.ts',
    koa: 'src/frameworks/koa.ts',
    hono: 'src/frameworks/hono.ts',
    fastify: 'src/frameworks/fastify.ts',
    web: 'src/frameworks/web.ts',
    testing: 'src/testing/index.ts'
  },
  format: ['esm', 'cjs'],
  target: 'node22',
  dts: true,
  clean: true,
  splitting: true,
  sourcemap: true,
  // The official adapters are bundled: @keyv/sqlite would otherwise make every install compile
  // better-sqlite3 (docs/design.md, "Dependencies").
  noExternal: [/^@keyv\//],
  esbuildPlugins: [leaveOutUnusedDrivers],
  // CommonJS has no import.meta.url. (tsup's own shim makes a wrong URL of a path with # or % in it.)
  esbuildOptions(options, { format }) {
    if (format === 'cjs') options.define = { ...options.define, 'import.meta.url': 'importMetaUrl' }
  },
  banner({ format }) {
    return format === 'cjs'
      ? { js: "const importMetaUrl = require('node:url').pathToFileURL(__filename).href" }
      : undefined
  },
  // node:sqlite exists only with its prefix.
  removeNodeProtocol: false
})
