import { ConfigurationError } from '../core/errors.ts'

/** Longer values and names are not shown, or cut. */
const MAX_SHOWN = 60

/** What one option may be, in code and in words, and what it is when nobody sets it. */
export interface OptionRule<V> {
  readonly fallback: V
  readonly accepts: (value: unknown) => boolean
  /** Completes the sentence "… must be". */
  readonly allowed: string
  /** Its value never shows in a message: only its type does. */
  readonly secret?: true
}

/** One rule for every member of an options object. */
export type OptionRules<O extends object> = { readonly [K in keyof O]-?: OptionRule<O[K]> }

export function wholeNumber(fallback: number, range: { min: number; max: number; unit?: string }) {
  const { min, max, unit } = range
  return {
    fallback,
    accepts: (value: unknown) => Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max,
    allowed: `a whole number${unit === undefined ? '' : ` of ${unit}`} from ${min} to ${max}`
  }
}

export function flag(fallback: boolean) {
  return { fallback, accepts: (value: unknown) => typeof value === 'boolean', allowed: 'true or false' }
}

export function oneOf<const V extends string>(fallback: NoInfer<V>, values: readonly V[]) {
  return {
    fallback,
    accepts: (value: unknown) => values.some((allowed) => allowed === value),
    allowed: values.map((value) => `'${value}'`).join(' or ')
  }
}

/** An SQL name that needs no escaping anywhere: ASCII letters, digits and underscores, not starting with a digit. */
export function identifier(fallback: string, limits: { maxLength: number; reservedPrefix: string }) {
  const { maxLength, reservedPrefix } = limits
  return {
    fallback,
    accepts: (value: unknown) =>
      typeof value === 'string' &&
      value.length <= maxLength &&
      /^[A-Za-z_][A-Za-z0-9_]*$/.test(value) &&
      !value.toLowerCase().startsWith(reservedPrefix),
    allowed:
      'an identifier: ASCII letters, digits and underscores, not starting with a digit or with ' +
      `${reservedPrefix}, at most ${maxLength} characters`
  }
}

export function text(fallback: string, accepts: (value: string) => boolean, allowed: string) {
  return { fallback, accepts: (value: unknown) => typeof value === 'string' && accepts(value), allowed }
}

/** An option that may be absent, and has no default. */
export function optional<V>(
  accepts: (value: unknown) => boolean,
  allowed: string
): OptionRule<V | undefined> {
  return { fallback: undefined, accepts, allowed }
}

/**
 * Reads every member once, checks it and fills in what is missing; an option that is `undefined` counts as missing.
 * `nameOf` turns an option's path, such as `postgres.table`, into the name that the reader of a message knows it by.
 */
export function applyRules<O extends object>(
  given: unknown,
  rules: OptionRules<O>,
  path: string,
  nameOf: (option: string) => string
): Readonly<O> {
  const options = given === undefined ? {} : given
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    const what = path === '' ? 'The options' : path
    throw new ConfigurationError(`${what} must be an object, but got ${describe(options)}.`)
  }
  const prefix = path === '' ? '' : `${path}.`
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(rules, name)) continue
    const known = Object.keys(rules).map((key) => prefix + key)
    throw new ConfigurationError(
      `Unknown option ${prefix}${name.slice(0, MAX_SHOWN)}. Known options: ${known.join(', ')}.`
    )
  }
  const resolved: Record<string, unknown> = {}
  for (const [name, rule] of Object.entries<OptionRule<unknown>>(rules)) {
    const value: unknown = Reflect.get(options, name)
    if (value !== undefined && !rule.accepts(value)) {
      const got = rule.secret ? describeType(value) : describe(value)
      throw new ConfigurationError(`${nameOf(prefix + name)} must be ${rule.allowed}, but got ${got}.`)
    }
    resolved[name] = value === undefined ? rule.fallback : value
  }
  return Object.freeze(resolved) as Readonly<O> // each key of O has a rule, and its value passed it
}

/** A value in a message. Strings that look like a URL, or a part of one, are not shown: they may hold a password. */
export function describe(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return String(value)
  if (typeof value !== 'string' || /:\/\/|@/.test(value)) return describeType(value)
  return value.length <= MAX_SHOWN ? JSON.stringify(value) : `a string of ${value.length} characters`
}

function describeType(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
