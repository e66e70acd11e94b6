import { DataError } from './errors.ts'
import { parseJson } from './parse-json.ts'

/**
 * - `strict`: only what JSON gives back equal. Dates, class instances, functions, … are refused with their path.
 * - `framework`: the JSON rules that frameworks document for their sessions: an object may say its JSON form with
 *   `toJSON` (express-session's Cookie, a Date), and instances of the application's own classes count as plain objects.
 */
export type DataRules = 'strict' | 'framework'

/**
 * Checks data and serialises it, before anything is written. A property whose value is undefined is left out, as if it
 * had never been set; everything else either comes back equal or is refused.
 * @throws DataError `SESSION_DATA`: not a plain object, not JSON, cyclic, or over the limit. The message holds paths and
 * kinds, never values.
 */
export function encodeData(data: unknown, maxDataBytes: number, rules: DataRules): string {
  if (typeof data !== 'object' || data === null || Array.isArray(data) || !isRecord(data, rules)) {
    throw new DataError(`Session data must be a plain object; got ${kindOf(data)}.`)
  }
  let json: string
  try {
    checkValue(data, rules, [])
    json = JSON.stringify(data)
  } catch (error) {
    if (error instanceof DataError) throw error
    throw new DataError(
      error instanceof RangeError
        ? 'Session data is cyclic, or nested too deeply for JSON.'
        : 'Session data could not be serialised: its toJSON or a getter threw, or it is cyclic.',
      { cause: error }
    )
  }
  // A toJSON at the top may return anything.
  if (json?.[0] !== '{')
    throw new DataError('Session data must serialise to a JSON object; its toJSON returns something else.')
  // A character takes at most 3 bytes of UTF-8, so most data need no counting.
  if (json.length * 3 > maxDataBytes) {
    const bytes = Buffer.byteLength(json)
    if (bytes > maxDataBytes) {
      throw new DataError(
        `Session data takes ${bytes} bytes as JSON; maxDataBytes allows ${maxDataBytes}. Keep large things in the ` +
          `application's own tables and their ids in the session.`
      )
    }
  }
  return json
}

/** @throws DataError where the stored text is not a JSON object. */
export function decodeData(json: string): object {
  let data: unknown
  try {
    data = parseJson(json)
  } catch (error) {
    // V8 quotes the text in its message, and the text may hold secrets: only the kind of error is kept.
    throw new DataError('The stored session data is not JSON.', { cause: new Error((error as Error).name) })
  }
  if (typeof data !== 'object' || data === null || Array.isArray(data)) {
    throw new DataError(`The stored session data is ${kindOf(data)}, not a JSON object.`)
  }
  return data
}

type Path = Array<string | number>

/** The path is one array that grows and shrinks with the descent: nothing is allocated while all is well. */
function checkValue(value: unknown, rules: DataRules, path: Path): void {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return
    case 'number':
      if (!Number.isFinite(value)) refuse(path, String(value))
      return
    case 'object':
      if (value !== null) checkObject(value, rules, path)
      return
    default:
      refuse(path, kindOf(value))
  }
}

function checkObject(value: object, rules: DataRules, path: Path): void {
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      path.push(index)
      // JSON would make null of undefined and of holes.
      checkValue(value[index], rules, path)
      path.pop()
    }
    return
  }
  if (rules === 'framework' && typeof (value as { toJSON?: unknown }).toJSON === 'function') return
  if (!isRecord(value, rules)) refuse(path, kindOf(value))
  for (const key in value) {
    if (!Object.hasOwn(value, key)) continue
    const property = (value as Record<string, unknown>)[key]
    if (property === undefined) continue
    path.push(key)
    checkValue(property, rules, path)
    path.pop()
  }
}

function isRecord(value: object, rules: DataRules): boolean {
  if (rules === 'strict' && typeof (value as { toJSON?: unknown }).toJSON === 'function') return false
  const prototype = Object.getPrototypeOf(value)
  if (prototype === null || prototype === Object.prototype) return true
  // An object of another realm (a worker's, vitest's, vm's) has another Object.prototype.
  if (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf')) return true
  // Map, Set, Promise, typed arrays, … keep their content where JSON does not look, and say so with a string tag.
  return rules === 'framework' && Object.prototype.toString.call(value) === '[object Object]'
}

function refuse(path: Path, kind: string): never {
  const where = path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`))
    .join('')
    .slice(0, 200)
  throw new DataError(`Session data at data${where} is ${kind}, which JSON cannot hold. ${cureFor(kind)}`)
}

function cureFor(kind: string): string {
  if (kind === 'a Date') return 'Store date.toISOString() or date.getTime().'
  if (kind === 'a bigint') return 'Store its toString().'
  if (kind === 'undefined') return 'Use null in arrays.'
  if (kind === 'a Map' || kind === 'a Set') return 'Store an array of its entries.'
  return 'Store strings, finite numbers, booleans, null, arrays and plain objects.'
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (value === undefined) return 'undefined'
  if (Array.isArray(value)) return 'an array'
  if (typeof value !== 'object') return `a ${typeof value}`
  const name: unknown = value.constructor?.name
  return typeof name === 'string' && name !== '' ? `a ${name}` : 'an object of an unknown kind'
}
