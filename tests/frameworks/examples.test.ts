import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import WebSocket from 'ws'
import { launchBrowser } from '../demo/browser.ts'

const examples = fileURLToPath(new URL('../../examples/', import.meta.url))
const packageSource = new URL('../support/package-source.ts', import.meta.url).href

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bodhi-session-examples-'))
})

afterAll(() => rm(folder, { recursive: true, force: true }))

/** A program of examples/ as a process of its own, up to its end. */
class Program implements AsyncDisposable {
  readonly origin: string
  readonly #child: ChildProcess

  static async start(name: string, env: Record<string, string> = {}): Promise<Program> {
    const child = spawn(process.execPath, ['--import', packageSource, join(examples, `${name}.ts`)], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, BODHI_SESSION_DB_URL: '', BODHI_HOME: join(folder, name), PORT: '0', ...env }
    })
    let printed = ''
    child.stdout.on('data', (chunk: Buffer) => {
      printed += chunk
    })
    while (!/port: (\d+)/.test(printed)) {
      const [reason] = await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
      if (typeof reason === 'number') throw new Error(`${name} ended with ${reason} before it listened`)
    }
    return new Program(child, `http://127.0.0.1:${/port: (\d+)/.exec(printed)?.[1]}`)
  }

  private constructor(child: ChildProcess, origin: string) {
    this.#child = child
    this.origin = origin
  }

  /** Asks it to end, as a process manager does, and checks that it does so in good order. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) {
      this.#child.kill('SIGTERM')
      await once(this.#child, 'exit')
    }
    expect(this.#child.exitCode).toBe(0)
  }
}

/** A person at a browser. */
class Visitor {
  readonly #origin: string
  cookie = ''

  constructor(origin: string) {
    this.#origin = origin
  }

  async open(path = '/', init: RequestInit = {}): Promise<string> {
    const headers = { connection: 'close', ...(this.cookie && { cookie: this.cookie }), ...init.headers }
    const response = await fetch(new URL(path, this.#origin), { redirect: 'manual', ...init, headers })
    for (const set of response.headers.getSetCookie()) {
      const [pair = ''] = set.split(';')
      const [name, value] = pair.split('=')
      const others = this.cookie.split('; ').filter((known) => known && !known.startsWith(`${name}=`))
      const isGone = !value || /max-age=0|expires=thu, 01 jan 1970/i.test(set)
      this.cookie = [...others, ...(isGone ? [] : [pair])].join('; ')
    }
    const location = response.headers.get('location')
    return location === null ? response.text() : this.open(location)
  }

  post(path: string, form: Record<string, string> = {}): Promise<string> {
    return this.open(path, { method: 'POST', body: new URLSearchParams(form) })
  }
}

describe.each(['express', 'koa', 'hono', 'fastify', 'node-http'])('examples/%s.ts', (name) => {
  test('signs in, counts, signs out, signs out everywhere, and ends in good order', async () => {
    await using program = await Program.start(name)
    const phone = new Visitor(program.origin)
    expect(await phone.open()).toContain('Seen 0 times')
    expect(phone.cookie).toBe('')
    expect(await phone.post('/sign-in', { name: 'Ada <3' })).toContain('Signed in as Ada &#60;3.')
    const before = phone.cookie
    expect(await phone.open()).toContain('Seen 2 times')
    expect(await phone.open()).toContain('Seen 3 times')
    expect(phone.cookie).toBe(before)

    const laptop = new Visitor(program.origin)
    await laptop.post('/sign-in', { name: 'Ada <3' })
    expect(await laptop.open()).toContain('Seen 2 times')
    expect(await phone.post('/sign-out')).toContain('Sign in')
    expect(phone.cookie).toBe('')
    phone.cookie = before
    expect(await phone.open()).toContain('Sign in')

    expect(await laptop.open()).toContain('Signed in as')
    await new Visitor(program.origin).post('/sign-in', { name: 'Ada <3' })
    expect(await laptop.post('/sign-out-everywhere')).toContain('Sign in')
  })
})

test('examples/node-http.ts knows the session of a WebSocket, and closes it after "sign out everywhere"', async () => {
  await using program = await Program.start('node-http')
  const visitor = new Visitor(program.origin)
  await visitor.post('/sign-in', { name: 'ada' })
  const stranger = new WebSocket(program.origin)
  const [refused] = await once(stranger, 'error')
  expect(String(refused)).toContain('401')
  const socket = new WebSocket(program.origin, { headers: { cookie: visitor.cookie } })
  await once(socket, 'open')
  socket.send('hello')
  expect(String((await once(socket, 'message'))[0])).toBe('ada: hello')
  await visitor.post('/sign-out-everywhere')
  socket.send('still here?')
  expect((await once(socket, 'close'))[0]).toBe(4401)
})

test('examples/express-passport.ts signs in at another site and comes back with a new token', async () => {
  await using provider = await Program.start('identity-provider')
  const site = provider.origin.replace('127.0.0.1', 'localhost')
  await using program = await Program.start('express-passport', { PROVIDER: site })
  const visitor = new Visitor(program.origin)
  expect(await visitor.open()).toContain('Sign in')
  const form = await visitor.post('/sign-in')
  const before = visitor.cookie
  expect(before).not.toBe('')
  const fields = new Map(
    [...form.matchAll(/name="(\w+)" value="([^"]*)"/g)].map(([, name, value]) => [name, value])
  )
  const allowed = new URL('/allow', site)
  for (const [name, value] of fields)
    allowed.searchParams.set(String(name), String(value).replaceAll('&#38;', '&'))
  expect(await visitor.open(allowed.href)).toContain('Signed in as ada')
  expect(visitor.cookie).not.toBe(before)
  const old = new Visitor(program.origin)
  old.cookie = before
  expect(await old.open()).not.toContain('Signed in')
  expect(await visitor.post('/sign-out')).not.toContain('Signed in')
})

test('examples/express-passport.ts works in a browser, which tells the two sites apart', async () => {
  await using provider = await Program.start('identity-provider')
  const site = provider.origin.replace('127.0.0.1', 'localhost')
  await using program = await Program.start('express-passport', { PROVIDER: site })
  const browser = await launchBrowser()
  try {
    const page = await browser.newPage()
    await page.goto(program.origin)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('button', { name: 'Allow' }).click()
    await page.getByText('Signed in as ada.').waitFor()
    const [cookie, ...others] = await page.context().cookies(program.origin)
    expect(others).toEqual([])
    expect(cookie).toMatchObject({ name: 'bodhiapp_session_id', httpOnly: true, sameSite: 'Lax' })
  } finally {
    await browser.close()
  }
})

test('every example has less than 60 lines', async () => {
  for (const file of await readdir(examples)) {
    const lines = (await readFile(join(examples, file), 'utf8')).trimEnd().split('\n').length
    expect(lines, file).toBeLessThan(60)
  }
})
