import { isDeepStrictEqual } from 'node:util'
import type { Session, SessionId } from '../core/session.ts'
import type { CookieReading, SessionCookie } from './session-cookie.ts'

/** What a request needs of the service. */
export interface RequestSessionService<T extends object> {
  readonly options: { readonly absoluteTimeoutMs: number }
  create(data: T): Promise<Session<T>>
  load(token: string): Promise<Session<T> | undefined>
  update(token: string, change: (data: T) => void): Promise<Session<T> | undefined>
  touch(token: string): Promise<boolean>
  rotate(token: string): Promise<Session<T> | undefined>
  destroy(token: string): Promise<boolean>
}

/** Gives the service when it is connected. */
type ServiceSource<T extends object> = () => RequestSessionService<T> | Promise<RequestSessionService<T>>

/** What the answer to a request must say about the cookie. */
type CookieNews = 'nothing' | 'set' | 'clear'

/**
 * The session of one request. It is loaded once, before the handler, and committed once, after it:
 *
 * - Top-level keys of `data` that were changed, added or deleted are applied to what is stored then, so parallel requests
 *   do not undo each other; of two that change the same key the last wins.
 * - Nothing changed: the session is touched. Never anything in it: nothing is stored and no cookie is sent.
 * - A session that was ended meanwhile (signed out elsewhere) stays ended: what the handler changed is dropped. The cookie is
 *   left alone, because a parallel request may just have replaced it by rotating the session.
 *
 * @typeParam T The application's data. A visitor's session has none yet, so every key may be missing.
 */
export class RequestSession<T extends object = Record<string, unknown>> {
  readonly #service: ServiceSource<T>
  readonly #cookie: SessionCookie
  readonly #reading: CookieReading
  readonly #data: Partial<T>
  #session: Session<T> | undefined
  #isNew: boolean
  /** The data as it was stored, taken when the handler first asks for it; undefined: nobody has asked. */
  #stored: Partial<T> | undefined
  #news: CookieNews = 'nothing'
  #absoluteTimeoutMs = 0
  #turn: Promise<unknown> = Promise.resolve()

  /** Reads the cookie, and the store only where there is one. Rejects where the store does not answer. */
  static async load<T extends object>(
    service: ServiceSource<T>,
    cookie: SessionCookie,
    cookieHeader: string | null | undefined
  ): Promise<RequestSession<T>> {
    const reading = cookie.read(cookieHeader)
    const session = reading.value ? await (await service()).load(reading.value) : undefined
    return new RequestSession(service, cookie, reading, session)
  }

  private constructor(
    service: ServiceSource<T>,
    cookie: SessionCookie,
    reading: CookieReading,
    session: Session<T> | undefined
  ) {
    this.#service = service
    this.#cookie = cookie
    this.#reading = reading
    this.#session = session
    this.#isNew = session === undefined
    this.#data = session?.data ?? {}
  }

  /** The session's id, safe to log and show; null until it is stored, and after it has ended. */
  get id(): SessionId | null {
    return this.#session?.id ?? null
  }

  /** The user that the stored data names; null while nobody is signed in. Changes of `data` show here once committed. */
  get userId(): string | null {
    return this.#session?.userId ?? null
  }

  /** Whether the request brought no live session, or the one that it brought has been ended since. */
  get isNew(): boolean {
    return this.#isNew
  }

  /** The application's data: JSON, changed in place. It is the same object for the whole request. */
  get data(): Partial<T> {
    if (this.#session !== undefined) this.#stored ??= structuredClone(this.#data)
    return this.#data
  }

  /**
   * Gives the session a new token at once; the old one is dead when this resolves. Call it at every sign-in, before the user
   * is written to `data`. A session that is not stored yet has nothing to rotate: its token will be new anyway.
   *
   * @returns false where the session had been ended meanwhile. Its data is gone then, and what is written to `data` from
   * now on starts a new session: after a sign-in, that is what the user wants.
   */
  rotate(): Promise<boolean> {
    return this.#inTurn(async () => {
      if (this.#session === undefined) return true
      const rotated = await (await this.#connected()).rotate(this.#session.token)
      if (rotated === undefined) {
        this.#startAnew()
        return false
      }
      this.#session = rotated
      this.#news = 'set'
      return true
    })
  }

  /**
   * Ends the session at once, empties `data` and has the cookie removed. What is written to `data` afterwards starts a new
   * session with a new token.
   *
   * @returns true if it was live.
   */
  destroy(): Promise<boolean> {
    return this.#inTurn(async () => {
      const session = this.#session
      const wasLive = session !== undefined && (await (await this.#connected()).destroy(session.token))
      this.#startAnew()
      if (session !== undefined || this.#reading.isPresent) this.#news = 'clear'
      return wasLive
    })
  }

  /**
   * Stores what the handler changed. Called by the adapters, after the handler and before the headers leave.
   *
   * @returns The Set-Cookie values that the response must carry; mostly none.
   */
  commit(): Promise<string[]> {
    return this.#inTurn(async () => {
      if (this.#session !== undefined) await this.#writeBack(this.#session)
      else if (definedKeys(this.#data).length > 0) await this.#create()
      return this.takeCookies()
    })
  }

  /**
   * The Set-Cookie values of what has taken effect already (`rotate`, `destroy`), without storing anything: for a response
   * to a handler that failed. Each value is given out once.
   */
  takeCookies(): string[] {
    const news = this.#news
    this.#news = 'nothing'
    if (news === 'clear') return [this.#cookie.serialiseCleared()]
    if (news === 'nothing' || this.#session === undefined) return []
    return [this.#cookie.serialise(this.#session.token, leftOf(this.#session, this.#absoluteTimeoutMs))]
  }

  async #connected(): Promise<RequestSessionService<T>> {
    const service = await this.#service()
    this.#absoluteTimeoutMs = service.options.absoluteTimeoutMs
    return service
  }

  async #create(): Promise<void> {
    const service = await this.#connected()
    this.#session = await service.create(this.#data as T) // a new session has what the handler gave it, and no more
    this.#stored = structuredClone(this.#data)
    this.#news = 'set'
  }

  async #writeBack(session: Session<T>): Promise<void> {
    const service = await this.#connected()
    const changes = this.#changes()
    if (changes.length === 0) {
      if (!(await service.touch(session.token))) this.#startAnew()
      return
    }
    const updated = await service.update(session.token, (data) => applyChanges(data, changes))
    if (updated === undefined) return this.#startAnew()
    // A new user starts the absolute timeout anew, and the cookie must not run out before it.
    if (updated.createdAt.getTime() !== session.createdAt.getTime()) this.#news = 'set'
    this.#session = updated
    this.#stored = structuredClone(this.#data)
  }

  #changes(): Change[] {
    return this.#stored === undefined ? [] : changesBetween(this.#stored, this.#data)
  }

  /** The session is over; its data must not find its way into another one. */
  #startAnew(): void {
    this.#session = undefined
    this.#stored = undefined
    this.#isNew = true
    this.#news = 'nothing'
    for (const key of Object.keys(this.#data)) Reflect.deleteProperty(this.#data, key)
  }

  /** One step after the other, also where a handler did not wait for `rotate` or `destroy`. */
  #inTurn<R>(step: () => Promise<R>): Promise<R> {
    const turn = this.#turn.then(step)
    this.#turn = turn.catch(() => {}) // whoever took the step hears of its failure
    return turn
  }
}

/** Milliseconds until the absolute deadline, by the store's clock alone. */
function leftOf(session: Session<object>, absoluteTimeoutMs: number): number {
  const askedAt = session.expiresAt.getTime() - session.expiresInMs
  return session.createdAt.getTime() + absoluteTimeoutMs - askedAt
}

/** A top-level key with its new value; undefined: it is gone. */
type Change = readonly [key: string, value: unknown]

function changesBetween(stored: object, data: object): Change[] {
  const changes: Change[] = []
  for (const key of definedKeys(data)) {
    const value: unknown = Reflect.get(data, key)
    if (!Object.hasOwn(stored, key) || !isDeepStrictEqual(Reflect.get(stored, key), value))
      changes.push([key, value])
  }
  for (const key of definedKeys(stored)) {
    if (!Object.hasOwn(data, key) || Reflect.get(data, key) === undefined) changes.push([key, undefined])
  }
  return changes
}

function applyChanges(data: object, changes: readonly Change[]): void {
  for (const [key, value] of changes) {
    if (value === undefined) Reflect.deleteProperty(data, key)
    // Defined, not assigned: `__proto__` is a key like any other in stored data.
    else Object.defineProperty(data, key, { value, writable: true, enumerable: true, configurable: true })
  }
}

/** A property that is undefined counts as missing, as it does in JSON. */
function definedKeys(data: object): string[] {
  return Object.keys(data).filter((key) => Reflect.get(data, key) !== undefined)
}
