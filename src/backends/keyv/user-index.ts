import { DataError } from '../../core/errors.ts'
import type { SessionId } from '../../core/session.ts'
import { type EntryKeys, type Members, membersText, parseMembers, userKeyOf } from './entries.ts'
import type { EntryStore } from './entry-store.ts'
import { afterTurns, inTurn } from './keyed-turns.ts'

/** How often the members are looked at for sessions that have expired: once in so many additions. */
const SWEEP_EVERY = 64
/** A session that was created so recently may be on its way still: its id is indexed before it is stored. */
const SWEEP_SPARES_MS = 300_000

/**
 * Which sessions may be a user's, in one entry for each user. An id is added before its session is stored and removed
 * after it has ended, so a session is never missing here; what the session itself says decides whether it is the user's.
 * (Between processes one of two additions at the same moment may be lost. Each write of a session adds it again.)
 */
export class UserIndex {
  readonly #entries: EntryStore
  readonly #keys: EntryKeys
  readonly #absoluteTimeoutMs: number
  readonly #now: () => number
  readonly #isLive: (id: SessionId) => Promise<boolean>

  constructor(
    entries: EntryStore,
    keys: EntryKeys,
    absoluteTimeoutMs: number,
    now: () => number,
    isLive: (id: SessionId) => Promise<boolean>
  ) {
    this.#entries = entries
    this.#keys = keys
    this.#absoluteTimeoutMs = absoluteTimeoutMs
    this.#now = now
    this.#isLive = isLive
  }

  /** Sees to it that the session is among the user's; writes only where it is not. */
  async add(userId: string, id: SessionId, createdAt: number): Promise<void> {
    const key = userKeyOf(this.#keys, userId)
    await inTurn(key, async () => {
      const members = await this.#read(key)
      if (members.get(id) === createdAt) return
      if (members.size > 0 && members.size % SWEEP_EVERY === 0) await this.#sweep(members)
      members.set(id, createdAt)
      await this.#write(key, members)
    })
  }

  async remove(userId: string, id: SessionId): Promise<void> {
    const key = userKeyOf(this.#keys, userId)
    await inTurn(key, async () => {
      const text = await this.#entries.get(key)
      const members = text === undefined ? undefined : parseMembers(text)
      // One that cannot be read must not keep a session from ending; an id too many does no harm.
      if (members === undefined || !members.delete(id)) return
      if (members.size === 0) await this.#entries.delete(key)
      else await this.#write(key, members)
    })
  }

  async members(userId: string): Promise<Members> {
    const key = userKeyOf(this.#keys, userId)
    return afterTurns(key, () => this.#read(key))
  }

  /** Removes a user's entry if the absolute timeouts of all its sessions have passed. */
  async prune(key: string): Promise<void> {
    await inTurn(key, async () => {
      if ((await this.#read(key)).size === 0) await this.#entries.delete(key)
    })
  }

  async #read(key: string): Promise<Members> {
    const text = await this.#entries.get(key)
    const members = text === undefined ? new Map<SessionId, number>() : parseMembers(text)
    if (members === undefined) {
      // To go on with an empty one would be to miss sessions when the user signs out everywhere.
      throw new DataError(
        `The entry ${key}, which lists a user's sessions, cannot be read. Restore it, or delete it.`
      )
    }
    for (const [id, createdAt] of members) {
      if (createdAt + this.#absoluteTimeoutMs <= this.#now()) members.delete(id)
    }
    return members
  }

  async #write(key: string, members: Members): Promise<void> {
    const youngest = Math.max(...members.values())
    await this.#entries.set(key, membersText(members), youngest + this.#absoluteTimeoutMs - this.#now())
  }

  async #sweep(members: Members): Promise<void> {
    const settled = [...members].filter(([, createdAt]) => createdAt < this.#now() - SWEEP_SPARES_MS)
    await Promise.all(
      settled.map(async ([id]) => {
        if (!(await this.#isLive(id))) members.delete(id)
      })
    )
  }
}
