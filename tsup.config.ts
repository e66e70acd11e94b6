import { defineConfig } from 'tsup'

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    express: 'src/frameworks/express.ts',
    koa: 'src/frameworks/koa.ts',
    hono: 'src/frameworks/hono.ts',
    fastify: 'src/frameworks/fastify.ts',
    web: 'src/frameworks/web.ts'
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
  // node:sqlite exists only with its prefix.
  removeNodeProtocol: false
})
