import { type IncomingHttpHeaders, request } from 'node:http'

/** A Set-Cookie header, taken apart. Names of attributes are in lower case; one without a value is ''. */
export interface SetCookie {
  readonly name: string
  readonly value: string
  readonly attributes: ReadonlyMap<string, string>
  /** Milliseconds that the browser keeps it: by Max-Age, else by Expires; undefined: until it is closed. */
  readonly livesMs: number | undefined
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly cookies: readonly SetCookie[]
  /** The body, parsed if it is JSON. */
  readonly body: unknown
}

/**
 * As much of a browser as sessions need: it keeps cookies by name and sends them back. It speaks to the server as through
 * a proxy that ends TLS, so that `Secure` cookies flow.
 */
export class Browser {
  readonly origin: string
  readonly #headers: Readonly<Record<string, string>>
  readonly cookies = new Map<string, string>()

  constructor(origin: string, headers: Readonly<Record<string, string>> = { 'x-forwarded-proto': 'https' }) {
    this.origin = origin
    this.#headers = headers
  }

  /** Another window with the same cookies, which go separate ways from here. */
  clone(): Browser {
    const clone = new Browser(this.origin, this.#headers)
    for (const [name, value] of this.cookies) clone.cookies.set(name, value)
    return clone
  }

  /** The Cookie header of the next request. */
  get cookieHeader(): string {
    return [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
  }

  async get(path: string): Promise<Answer> {
    const answer = await this.send(path, this.cookieHeader)
    for (const { name, value, livesMs } of answer.cookies) {
      if (livesMs !== undefined && livesMs <= 0) this.cookies.delete(name)
      else this.cookies.set(name, value)
    }
    return answer
  }

  /** A request with any Cookie header; what comes back is not kept. */
  send(path: string, cookieHeader: string): Promise<Answer> {
    const headers = { ...this.#headers, ...(cookieHeader === '' ? {} : { cookie: cookieHeader }) }
    return new Promise((resolve, reject) => {
      const outgoing = request(new URL(path, this.origin), { headers, agent: false }, (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            cookies: (response.headers['set-cookie'] ?? []).map(parseSetCookie),
            body: parseBody(Buffer.concat(chunks).toString())
          })
        })
      })
      outgoing.on('error', reject)
      outgoing.end()
    })
  }
}

function parseSetCookie(header: string): SetCookie {
  const [pair = '', ...rest] = header.split(';')
  const [name, value] = split(pair)
  const attributes = new Map(
    rest.map((attribute) => split(attribute)).map(([key, text]) => [key.toLowerCase(), text])
  )
  const maxAge = attributes.get('max-age')
  const expires = attributes.get('expires')
  const livesMs =
    maxAge !== undefined
      ? Number(maxAge) * 1000
      : expires !== undefined
        ? new Date(expires).getTime() - Date.now()
        : undefined
  return { name, value, attributes, livesMs }
}

function split(text: string): [name: string, value: string] {
  const equals = text.indexOf('=')
  return equals === -1 ? [text.trim(), ''] : [text.slice(0, equals).trim(), text.slice(equals + 1).trim()]
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
