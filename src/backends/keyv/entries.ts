import { createHash } from 'node:crypto'
import type { SessionId } from '../../core/session.ts'
import { asSessionId } from '../../core/token.ts'
import { type EntryText, UNREADABLE } from './entry-store.ts'

/*
 * What is stored, each under a key of its own:
 *
 *   session/<namespace>/<id>         a line of JSON with times and user, then the data; or, after a rotation, where it went
 *   ended/<namespace>/<id>           the tombstone: until when. Never overwritten by a write of the session, which is what
 *                                    keeps an ended session ended without compare-and-set
 *   user/<namespace>/<SHA-256>       the ids that may belong to a user: all of his sessions, and perhaps some that are his no more
 *
 * No key has a colon, since several adapters take what stands before one for a namespace, or leave such keys out of lists.
 */
export interface EntryKeys {
  readonly sessions: string
  readonly ended: string
  readonly users: string
}

export function entryKeys(namespace: string): EntryKeys {
  // Memcached allows 250 bytes and no spaces; MySQL's adapter 255 characters.
  const name = /^[\w-]{1,40}$/.test(namespace) ? namespace : `~${sha256(namespace)}`
  return { sessions: `session/${name}/`, ended: `ended/${name}/`, users: `user/${name}/` }
}

/** Part of a key for a user id of any length and any characters, which must not be readable after the last sign-out. */
export function userKeyOf(keys: EntryKeys, userId: string): string {
  return keys.users + sha256(userId)
}

/** A session, times in milliseconds on the clock of the process that wrote it. */
export interface Row {
  readonly userId: string | null
  readonly createdAt: number
  readonly lastActiveAt: number
  readonly expiresAt: number
  readonly idleTimeoutMs: number | null
  readonly version: number
  /** The data as JSON text. */
  readonly value: string
}

export type SessionSlot =
  | { readonly kind: 'row'; readonly row: Row }
  | { readonly kind: 'moved'; readonly to: SessionId; readonly until: number }
  | { readonly kind: 'unreadable' }

/** The data stays text beside the header, rather than a string within JSON, whose quotes would all be escaped. */
export function rowText({ value, ...header }: Row): string {
  return `${JSON.stringify(header)}\n${value}`
}

export function movedText(to: SessionId, until: number): string {
  return JSON.stringify({ to, until })
}

/** The absolute deadline is asked for again: the absolute timeout may have become shorter since the row was written. */
export function parseSession(text: EntryText, absoluteTimeoutMs: number): SessionSlot {
  if (text === UNREADABLE) return { kind: 'unreadable' }
  const end = text.indexOf('\n')
  const header = parseObject(end < 0 ? text : text.slice(0, end))
  if (end < 0) {
    const to = asSessionId(header?.['to'])
    const until = header?.['until']
    return to !== undefined && isTime(until) ? { kind: 'moved', to, until } : { kind: 'unreadable' }
  }
  const { userId, createdAt, lastActiveAt, expiresAt, idleTimeoutMs, version } = header ?? {}
  const isRow =
    (userId === null || typeof userId === 'string') &&
    (idleTimeoutMs === null || isTime(idleTimeoutMs)) &&
    isTime(createdAt) &&
    isTime(lastActiveAt) &&
    isTime(expiresAt) &&
    isTime(version)
  if (!isRow) return { kind: 'unreadable' }
  const row = {
    userId,
    createdAt,
    lastActiveAt,
    expiresAt: Math.min(expiresAt, createdAt + absoluteTimeoutMs),
    idleTimeoutMs,
    version,
    value: text.slice(end + 1)
  }
  return { kind: 'row', row }
}

export function endedText(until: number): string {
  return JSON.stringify({ until })
}

/** Until when an id is ended. A tombstone that cannot be read still is one. */
export function parseEnded(text: EntryText): number {
  const until = text === UNREADABLE ? undefined : parseObject(text)?.['until']
  return isTime(until) ? until : Number.POSITIVE_INFINITY
}

/** The candidates of a user: session ids, and when each was created (its absolute timeout counts from there). */
export type Members = Map<SessionId, number>

export function membersText(members: Members): string {
  return JSON.stringify(Object.fromEntries(members))
}

/** undefined: cannot be read. */
export function parseMembers(text: EntryText): Members | undefined {
  const object = text === UNREADABLE ? undefined : parseObject(text)
  if (object === undefined) return undefined
  const members: Members = new Map()
  for (const [key, createdAt] of Object.entries(object)) {
    const id = asSessionId(key)
    if (id === undefined || !isTime(createdAt)) return undefined
    members.set(id, createdAt)
  }
  return members
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined // says no more than that it cannot be read, as its callers do
  }
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function sha256(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('base64url')
}
