import { expect, test } from 'vitest'
import { DefaultSessionService } from '../../src/index.ts'
import { STORES } from './stores.ts'

/** What makes the database itself refuse the sessions of one user. */
const REFUSAL = {
  postgres: [
    `create function refuse_user() returns trigger language plpgsql as $$
      begin
        if new.user_id = 'refused' then raise exception 'no sessions for this user' using errcode = 'check_violation'; end if;
        return new;
      end $$`,
    `create trigger refuse_user before insert or update on bodhi_sessions for each row execute function refuse_user()`
  ],
  sqlite: [
    `create trigger refuse_user before insert on bodhi_sessions when new.user_id = 'refused'
      begin select raise(abort, 'no sessions for this user'); end`,
    `create trigger refuse_change before update on bodhi_sessions when new.user_id = 'refused'
      begin select raise(abort, 'no sessions for this user'); end`
  ]
} as const

const COUNT = 1_000
const BAD = 617

test.each(['postgres', 'sqlite'] as const)(
  'one session that %s refuses among 1,000 at once fails alone, when they are created and when they are saved',
  async (backend) => {
    await using store = await STORES[backend]()
    await using sessions = await DefaultSessionService.connect<{ n: number; user_id: string }>(store.url)
    for (const sql of REFUSAL[backend]) await store.execute(sql)
    const dataOf = (n: number) => ({ n, user_id: n === BAD ? 'refused' : `user ${n % 10}` })
    const numbers = Array.from({ length: COUNT }, (_, n) => n)

    const created = await Promise.allSettled(numbers.map((n) => sessions.create(dataOf(n))))
    expect(failed(created)).toEqual([BAD])
    expect(created[BAD]).toMatchObject({ reason: { code: 'SESSION_BACKEND', retryable: false } })
    expect(await sessions.countSessions()).toBe(COUNT - 1)

    const spare = await sessions.create({ n: -1, user_id: 'user 0' })
    const tokens = created.map((result) => (result.status === 'fulfilled' ? result.value.token : spare.token))
    const saved = await Promise.allSettled(
      tokens.map((token, n) => sessions.save(token, { ...dataOf(n), n: n + COUNT }))
    )
    expect(failed(saved)).toEqual([BAD])
    const loaded = await Promise.all(tokens.map((token) => sessions.load(token)))
    expect(loaded.map((session) => session?.data.n)).toEqual(numbers.map((n) => (n === BAD ? -1 : n + COUNT)))
  }
)

function failed(results: ReadonlyArray<PromiseSettledResult<unknown>>): number[] {
  return results.flatMap(({ status }, n) => (status === 'rejected' ? [n] : []))
}
