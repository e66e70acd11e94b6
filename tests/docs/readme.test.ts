import { execFile, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))
const readme = await readFile(join(root, 'README.md'), 'utf8')

/* The blocks run as they stand, on the built package by its own name; only what makes them end is added. */
describe('the code in the README', () => {
  let folder: string

  beforeAll(async () => {
    // Inside the repository, so that the package finds itself by name.
    folder = await mkdtemp(join(root, '.tmp-readme-'))
  })

  afterAll(() => rm(folder, { recursive: true, force: true }))

  function block(name: string): string {
    const found = new RegExp(`^\`\`\`ts ${name}\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(readme)?.[1]
    return found ?? expect.fail(`the README has no block of code named ${name}`)
  }

  test('without a framework', async () => {
    const file = join(folder, 'service.ts')
    await writeFile(file, block('service'))
    const { stdout } = await promisify(execFile)(process.execPath, [file])
    expect(stdout).toBe('undefined\n1\n1\n')
  })

  test('with Express, and the account page', async () => {
    const file = join(folder, 'express.ts')
    await writeFile(
      file,
      `${block('express')}
      app.post('/sign-in', (req, res, next) => req.session.regenerate((error) => {
        if (error) return next(error)
        req.session.user_id = 'ada'
        res.json(true)
      }))
      ${block('account')}
      const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port))
      process.once('SIGTERM', () => server.close(() => sessions.close()))`
    )
    const child = spawn(process.execPath, [file], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, BODHI_HOME: folder, BODHI_SESSION_DB_URL: '', NODE_ENV: 'development' }
    })
    const ended = new Promise((resolve) => child.once('exit', resolve))
    try {
      const port = await new Promise<string>((resolve, reject) => {
        child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim()))
        child.once('exit', () => reject(new Error('the server ended before it was there')))
      })
      const request = async (method: string, path: string, cookie: string) => {
        const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers: { cookie } })
        return {
          cookie: response.headers.getSetCookie()[0]?.split(';')[0] ?? '',
          body: await response.json()
        }
      }
      const { cookie: phone } = await request('POST', '/sign-in', '')
      const { cookie: laptop } = await request('POST', '/sign-in', '')
      expect(phone).toMatch(/^bodhiapp_session_id=/)
      const { body: devices } = await request('GET', '/account', phone)
      const listed = devices as Array<{ id: string }>
      expect(listed).toHaveLength(2)
      expect(await request('POST', `/account/sign-out/${listed[0]?.id}`, phone)).toMatchObject({ body: true })
      const stillIn = await Promise.all([phone, laptop].map((cookie) => request('POST', '/sign-in', cookie)))
      expect(stillIn).toHaveLength(2)
      const { body: ended } = await request('POST', '/account/sign-out-everywhere', stillIn[0]?.cookie ?? '')
      expect(ended).toBeGreaterThanOrEqual(2)
    } finally {
      child.kill('SIGTERM')
    }
    expect(await ended).toBe(0)
  })
})
