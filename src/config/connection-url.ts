import { ConfigurationError } from '../core/errors.ts'

/** What a connection URL names. */
export type ConnectionUrl =
  | { readonly backend: 'sqlite'; readonly path: string }
  | { readonly backend: 'postgres'; readonly url: string }
  /** Any other store that has an official Keyv adapter. */
  | { readonly backend: 'keyv'; readonly scheme: KeyvScheme; readonly url: string }

const KEYV_SCHEMES = [
  'redis',
  'rediss',
  'valkey',
  'mysql',
  'mongodb',
  'mongodb+srv',
  'memcache',
  'memcached',
  'etcd'
] as const

export type KeyvScheme = (typeof KEYV_SCHEMES)[number]

const PARSERS: Readonly<Record<string, (url: string | URL) => ConnectionUrl>> = {
  sqlite: parseSqliteUrl,
  postgres: parsePostgresUrl,
  postgresql: parsePostgresUrl,
  ...Object.fromEntries(
    KEYV_SCHEMES.map((scheme) => [scheme, (url: string | URL) => parseKeyvUrl(scheme, url)])
  )
}

const EXAMPLES =
  'Examples: sqlite:data/session.sqlite, sqlite::memory:, postgres://user:password@db.example.com:5432/database.'

/**
 * Finds the store that a URL names; opens nothing. Schemes are case-insensitive.
 *
 * SQLite, given as a string: what follows `sqlite:`, less one `//`, is the path as it stands. Nothing in it is decoded,
 * and `?`, `#`, `%` and spaces are part of the file's name. So `sqlite:data.db` and `sqlite://data.db` are relative to
 * the working folder, `sqlite:/srv/data.db` and `sqlite:///srv/data.db` absolute, `sqlite:C:\data.db` and
 * `sqlite:///C:/data.db` on a Windows drive, `sqlite::memory:` and `sqlite://:memory:` in memory. Given as a `URL`, which
 * encodes what it is given, the path is percent-decoded.
 *
 * PostgreSQL: `postgres://user:password@host:port/database?parameters`, or with the folder of a Unix socket
 * `postgres:///database?host=/var/run/postgresql`. Special characters of the password are percent-encoded. The result
 * is the URL in normal form.
 *
 * @throws ConfigurationError `SESSION_CONFIGURATION`; its message shows the URL as {@link redactUrl} does.
 */
export function parseConnectionUrl(url: string | URL): ConnectionUrl {
  if (typeof url !== 'string' && !(url instanceof URL)) {
    throw new ConfigurationError(
      `The connection URL must be a string or a URL, but got ${typeof url}. ${EXAMPLES}`
    )
  }
  const scheme = schemeOf(String(url))
  if (scheme === undefined) {
    throw new ConfigurationError(`The connection URL does not begin with a scheme and a colon. ${EXAMPLES}`)
  }
  const parse = Object.hasOwn(PARSERS, scheme) ? PARSERS[scheme] : undefined
  if (parse === undefined) {
    const known = Object.keys(PARSERS).map((name) => `${name}:`)
    throw new ConfigurationError(
      `Unknown scheme in the connection URL ${redactUrl(url)}. Known schemes: ${known.join(', ')}. ` +
        `Before the path of an SQLite file, write sqlite: as well. ${EXAMPLES}`
    )
  }
  return parse(url)
}

/**
 * The URL as it may be logged: without password, parameters and fragment. Made for URLs that cannot be parsed too, since
 * those are the ones that stand in messages: what might be a part of a password is left out, and of a URL in which that
 * cannot be told, all but the scheme.
 */
export function redactUrl(url: string | URL): string {
  const text = String(url)
  const scheme = schemeOf(text)
  if (scheme === undefined) return HIDDEN
  const rest = text.slice(scheme.length + 1)
  if (scheme === 'sqlite') return printable(`sqlite:${withoutParameters(rest)}`)
  if (!rest.startsWith('//')) return `${scheme}:${HIDDEN}`
  return printable(`${scheme}://${redactAuthority(rest.slice(2), text)}`)
}

const HIDDEN = '***'
const MAX_SHOWN = 200

/** `rest` is what follows `scheme://` in `url`. */
function redactAuthority(rest: string, url: string): string {
  // The last @ of all ends the password, whatever raw @ or / it holds.
  const at = rest.lastIndexOf('@')
  if (at < 0) {
    // Without an @, user:password reads as host:port.
    return URL.canParse(url) && !rest.includes('#') ? withoutParameters(rest) : HIDDEN
  }
  // A raw ? or # before the @: either the password holds it, or the @ is a parameter's.
  const userInfo = rest.slice(0, at)
  if (/[?#]/.test(userInfo)) return HIDDEN
  const colon = userInfo.indexOf(':')
  const user = colon < 0 ? HIDDEN : `${userInfo.slice(0, colon)}:${HIDDEN}`
  return `${user}@${withoutParameters(rest.slice(at + 1))}`
}

function withoutParameters(rest: string): string {
  const start = rest.search(/[?#;&]/)
  return start < 0 ? rest : `${rest.slice(0, start + 1)}${HIDDEN}`
}

function printable(text: string): string {
  const shown = text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN)}…`
  return shown.replace(/\p{C}/gu, '\ufffd')
}

function schemeOf(url: string): string | undefined {
  return /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase()
}

/** What sqlx and SQLite's own URIs understand, and operators bring along. */
const SQLITE_PARAMETERS = /\?(?:mode|cache|immutable|nolock|psow|vfs|key)=[^/\\]*$/

function parseSqliteUrl(url: string | URL): ConnectionUrl {
  const raw = url instanceof URL ? decodedSqlitePath(url) : url.slice('sqlite:'.length).replace(/^\/\//, '')
  const path = raw.replace(/^\/(?=[a-z]:[/\\])/i, '')
  const fault = sqlitePathFault(path)
  if (fault !== undefined) throw new ConfigurationError(`The SQLite URL ${redactUrl(url)} ${fault}`)
  return { backend: 'sqlite', path }
}

function sqlitePathFault(path: string): string | undefined {
  if (path === '') return 'names no file. Write sqlite:path/to/session.sqlite, or sqlite::memory: for none.'
  if (path === '/:memory:') return 'has slashes too many: write sqlite::memory: for a database in memory.'
  if (/[/\\]$/.test(path)) return 'names a folder: add the name of a file.'
  if (path.includes('\0')) return 'has a NUL character in its path, which no file name may have.'
  if (!path.isWellFormed()) return 'has a lone surrogate in its path: the text was cut or decoded wrongly.'
  if (SQLITE_PARAMETERS.test(path)) {
    return 'has parameters. There are none: leave them out, since all that follows sqlite: is taken as the path.'
  }
  return undefined
}

function decodedSqlitePath(url: URL): string {
  if (url.search !== '' || url.hash !== '') {
    throw new ConfigurationError(
      `The SQLite URL ${redactUrl(url)} has parameters or a fragment. In a URL object write %3F for ? and %23 for # in a path.`
    )
  }
  const encoded = url.href.slice('sqlite:'.length).replace(/^\/\//, '')
  const path = percentDecode(encoded)
  if (path === undefined) {
    throw new ConfigurationError(
      `The SQLite URL ${redactUrl(url)} has a % that begins no escape. In a URL object write %25 for % in a path.`
    )
  }
  return path
}

const ENCODE =
  'In user and password write %40 for @, %3A for :, %2F for /, %3F for ?, %23 for # and %25 for %.'

function parsePostgresUrl(given: string | URL): ConnectionUrl {
  const url = given instanceof URL ? given : urlOf(given)
  const fault = postgresUrlFault(url, String(given))
  if (url === undefined || fault !== undefined) {
    throw new ConfigurationError(`The PostgreSQL URL ${redactUrl(given)} ${fault}`)
  }
  return { backend: 'postgres', url: url.href }
}

function urlOf(text: string): URL | undefined {
  // libpq allows user:password@/database?host=…, the parser does not. The parameter wins over the host put in here.
  const withHost = /[?&]host=/.test(text) ? text.replace(/^([^?#]*@)\//, '$1localhost/') : text
  return URL.parse(withHost) ?? undefined
}

/** `url` is undefined where it cannot be parsed; the parser's own error holds the password, and is not passed on. */
function postgresUrlFault(url: URL | undefined, given: string): string | undefined {
  // The parser drops line breaks and tabs, and replaces lone surrogates: it would go on with another password.
  if (/[\p{Cc}\p{Cs}]/u.test(given))
    return `has a line break, a tab or another character that must be encoded. ${ENCODE}`
  if (!/^[a-z]+:\/\//i.test(given)) return 'lacks the // after its scheme: write postgres://host/database.'
  if (url === undefined) {
    return `cannot be parsed. Its form is postgres://user:password@host:port/database, with one host and a port from 1 to 65535. ${ENCODE}`
  }
  if (url.hash !== '') return `has a # in it. ${ENCODE}`
  // postgres://user:1/2@host/db parses: host user, port 1, database 2@host/db.
  if (url.pathname.includes('@') || url.search.includes('@')) {
    return `has an @ behind its host. ${ENCODE} In database and parameters write %40 as well.`
  }
  const { hostname, pathname, searchParams } = url
  for (const part of [url.username, url.password, hostname, pathname, url.search]) {
    const decoded = percentDecode(part)
    if (decoded === undefined) return `has a % that begins no escape of UTF-8. ${ENCODE}`
    if (decoded.includes('\0')) return 'has %00 in it, a character that PostgreSQL does not have.'
  }
  if (pathname === '' || pathname === '/') return 'names no database. Add one: postgres://host:port/database.'
  if (hostname === '' && !searchParams.get('host')) {
    return 'names no host. Add one, or the folder of a Unix socket: postgres:///database?host=/var/run/postgresql.'
  }
  const port = searchParams.get('port') || url.port
  if (port !== '' && !(/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535)) {
    return 'has a port that is not a number from 1 to 65535.'
  }
  return undefined
}

/** Only what every adapter needs: what else its URL may hold is the adapter's to say. */
function parseKeyvUrl(scheme: KeyvScheme, given: string | URL): ConnectionUrl {
  const url = String(given)
  if (url.slice(scheme.length + 1, scheme.length + 3) !== '//' || /[\p{Cc}\p{Cs}]/u.test(url)) {
    throw new ConfigurationError(
      `The URL ${redactUrl(given)} must have the form ${scheme}://host:port, with control characters encoded.`
    )
  }
  return { backend: 'keyv', scheme, url }
}

function percentDecode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined // a malformed escape is what the caller reports, with its own words
  }
}
