import { hash, randomBytes } from 'node:crypto'
import type { SessionId, SessionToken } from './session.ts'

/** 256 bits: beyond guessing; OWASP asks for 64 bits of entropy at least (Session Management Cheat Sheet). */
const TOKEN_BYTES = 32
const MAX_TOKEN_LENGTH = 1024
const SESSION_ID = /^[\w-]{43}$/

export function mintToken(): SessionToken {
  return randomBytes(TOKEN_BYTES).toString('base64url') as SessionToken // the one place that makes tokens
}

/**
 * The database key of a token, or undefined where the value cannot be a token: no string, empty, over 1,024 characters,
 * with NUL, or ill-formed UTF-16 (two such strings would hash to the same id). Never throws: a bad token is a stranger.
 *
 * The database holds only this hash, so a leaked table or backup signs nobody in, and comparing ids leaks no timing
 * about tokens (CVE-2019-16782).
 */
export function sessionIdOf(token: unknown): SessionId | undefined {
  if (typeof token !== 'string' || token.length === 0 || token.length > MAX_TOKEN_LENGTH) return undefined
  if (token.includes('\0') || !token.isWellFormed()) return undefined
  return hash('sha256', token, 'base64url') as SessionId
}

/** The value as a session id if it has the form of one, else undefined. */
export function asSessionId(value: unknown): SessionId | undefined {
  return typeof value === 'string' && SESSION_ID.test(value) ? (value as SessionId) : undefined
}
