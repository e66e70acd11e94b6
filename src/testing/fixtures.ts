import { ConfigurationError } from '../core/errors.ts'
import type { Session } from '../core/session.ts'
import type { DefaultSessionService } from '../default-session-service.ts'

/**
 * A live session of a user, as after a sign-in. The data gets a `user_id`, which the service reads by default; a service
 * with a `userIdOf` of its own needs data in which it finds this user.
 * @throws ConfigurationError where the service finds another user in the data, or none.
 */
export async function signIn<T extends object = Record<string, unknown>>(
  sessions: DefaultSessionService<T>,
  userId: string | number,
  data?: Partial<T>
): Promise<Session<T>> {
  const named: object = { user_id: userId, ...data }
  const session = await sessions.create(named as T) // a fixture's data may be partial
  if (session.userId === String(userId)) return session
  await sessions.destroy(session.token)
  throw new ConfigurationError(
    `signIn(sessions, ${JSON.stringify(userId)}, data): the service reads ${JSON.stringify(session.userId)} as the user of ` +
      'this data. Pass data in which its option userIdOf finds the user.'
  )
}

/**
 * Several sessions for each of several users: `{ ada: 2, bob: 1 }`.
 * @returns The sessions of each user, in the order in which they were made.
 */
export async function seedSessions<U extends string, T extends object = Record<string, unknown>>(
  sessions: DefaultSessionService<T>,
  counts: Readonly<Record<U, number>>,
  data?: (userId: U, index: number) => Partial<T>
): Promise<Record<U, Session<T>[]>> {
  const seeded: Partial<Record<U, Session<T>[]>> = {}
  for (const userId of Object.keys(counts) as U[]) {
    const made: Session<T>[] = []
    for (let index = 0; index < counts[userId]; index++) {
      made.push(await signIn(sessions, userId, data?.(userId, index)))
    }
    seeded[userId] = made
  }
  return seeded as Record<U, Session<T>[]> // every key has been gone through
}
