import { ConfigurationError } from './errors.ts'

/** Reads the user id from the data of a session; null or undefined: nobody is signed in. */
export type UserIdOf<T extends object> = (data: T) => string | number | null | undefined

const MAX_CHARACTERS = 1024
/** What fits into an entry of PostgreSQL's B-tree (2,704 bytes) beside the namespace. */
const MAX_BYTES = 2048

/**
 * The default of the option `userIdOf`: `data.user_id` (BodhiApp's name), then `data.userId`, then what Passport
 * keeps in `data.passport.user`, or that object's `id`.
 */
export function defaultUserIdOf(data: object): unknown {
  const { user_id, userId, passport } = data as Record<string, unknown>
  if (user_id !== undefined && user_id !== null) return user_id
  if (userId !== undefined && userId !== null) return userId
  if (typeof passport !== 'object' || passport === null) return null
  const { user } = passport as Record<string, unknown>
  if (typeof user !== 'object' || user === null) return user
  const { id } = user as Record<string, unknown>
  // An object without an id stays one: it names somebody, and must not read as "nobody".
  return id === undefined || id === null ? user : id
}

/**
 * The user id in the form that is stored: a string, or null for nobody. Numbers become their decimal form.
 * @param where What is at fault in the message of the ConfigurationError, with its cure.
 */
export function normaliseUserId(value: unknown, where: string): string | null {
  if (value === null || value === undefined) return null
  if (typeof value === 'number' && Number.isFinite(value)) return String(value)
  if (typeof value === 'string') return checkUserId(value, where)
  throw new ConfigurationError(
    `${where} must be a string, a finite number, null or undefined; got ${kindOf(value)}. ${CURE}`
  )
}

/** A user id that must be there, as an argument. Throws ConfigurationError. */
export function requireUserId(value: unknown): string {
  const userId = normaliseUserId(value, 'The user id')
  if (userId === null) {
    throw new ConfigurationError(`The user id must be a string or a finite number; got ${String(value)}.`)
  }
  return userId
}

const CURE =
  'Set the option userIdOf to a function that returns the id itself, or null while nobody is signed in.'

function checkUserId(userId: string, where: string): string {
  const fault =
    userId.length === 0
      ? 'an empty string'
      : userId.includes('\0')
        ? 'a string with NUL'
        : !userId.isWellFormed()
          ? 'a string with a lone surrogate'
          : userId.length > MAX_CHARACTERS || Buffer.byteLength(userId) > MAX_BYTES
            ? `a string of ${userId.length} characters`
            : undefined
  if (fault === undefined) return userId
  throw new ConfigurationError(
    `${where} must have 1 to ${MAX_CHARACTERS} characters (at most ${MAX_BYTES} bytes of UTF-8), without NUL or lone ` +
      `surrogates; got ${fault}. ${CURE}`
  )
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object') return 'an object'
  return typeof value === 'number' ? String(value) : `a ${typeof value}`
}
