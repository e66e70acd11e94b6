import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

/* In a process of its own, in which one package cannot be found, as where it is not installed. */

const frameworks = new URL('../../src/frameworks/', import.meta.url).href

async function without(missing: string, code: string): Promise<string> {
  const program = `
    import { registerHooks } from 'node:module'
    const isMissing = (name) => name === '${missing}'
    function notFound(name) {
      return Object.assign(new Error(\`Cannot find module '\${name}'\`), { code: 'MODULE_NOT_FOUND' })
    }
    registerHooks({
      resolve(name, context, next) {
        if (isMissing(name)) throw notFound(name)
        return next(name, context)
      }
    })
    const sessions = new Promise(() => {})
    try { ${code} } catch (error) { console.log(error.code, error.message) }`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program])
  return stdout
}

const koa = `
  const { koaSession } = await import('${frameworks}koa.ts')
  koaSession({ keys: ['k'.repeat(32)], context: {}, use() {} }, sessions)
  console.log('set up')`

const fastify = `
  const { fastifySession } = await import('${frameworks}fastify.ts')
  const { default: Fastify } = await import('fastify')
  await Fastify().register(fastifySession, { sessions, secret: 's'.repeat(32) })
  console.log('set up')`

test.each([
  ['koa-session', 'bodhi-session/koa', koa],
  ['@fastify/session', 'bodhi-session/fastify', fastify],
  ['@fastify/cookie', 'bodhi-session/fastify', fastify]
])('without %s, %s names the package and the command that installs it', async (missing, entry, code) => {
  expect(await without(missing, code)).toContain(
    `SESSION_CONFIGURATION ${entry} needs the package ${missing}, which is not installed. Run: npm install ${missing}`
  )
  expect(await without('nothing', code)).toBe('set up\n')
})

test('an entry loads no framework but its own', async () => {
  const entries = {
    koa: 'koa-session',
    fastify: 'fastify|@fastify',
    hono: 'hono',
    web: '',
    express: 'express-session'
  }
  for (const [entry, own] of Object.entries(entries)) {
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--input-type=module',
      '--eval',
      `import { registerHooks } from 'node:module'
      const loaded = new Set()
      registerHooks({ load(url, context, next) { loaded.add(url); return next(url, context) } })
      await import('${frameworks}${entry}.ts')
      console.log([...loaded].map((url) => /node_modules\\/((@[^/]+\\/)?[^/]+)/.exec(url)?.[1]).filter(Boolean).join(' '))`
    ])
    const others = [
      'koa',
      'koa-session',
      'fastify',
      '@fastify/session',
      '@fastify/cookie',
      'hono',
      'express',
      'express-session'
    ]
    const loaded = new Set(stdout.trim().split(' '))
    for (const other of others.filter((name) => !new RegExp(`^(${own})`).test(name) || own === '')) {
      expect(loaded.has(other), `${entry} loads ${other}`).toBe(false)
    }
  }
})
