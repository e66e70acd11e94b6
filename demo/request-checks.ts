import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Request } from 'express'

/**
 * Whether a page of this very origin sent the request. It protects the sign-in form, whose visitor has no session that
 * could hold a token. Every browser sends at least one of the two headers with a POST; what sends neither is refused.
 */
export function isSameOrigin(req: Request): boolean {
  const site = req.get('sec-fetch-site')
  if (site !== undefined) return site === 'same-origin'
  const origin = req.get('origin')
  return origin !== undefined && URL.canParse(origin) && new URL(origin).host === req.get('host')
}

/** A token that only pages of this session know. */
export function mintCsrfToken(): string {
  return randomBytes(32).toString('base64url')
}

/** Compares in constant time, whatever the lengths. */
export function isCsrfToken(given: unknown, expected: string | undefined): boolean {
  if (typeof given !== 'string' || expected === undefined) return false
  return timingSafeEqual(digest(given), digest(expected))
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
