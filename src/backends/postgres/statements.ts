import { type Statement, statement } from './statement.ts'

/*
 * All SQL on the table of sessions. Three rules stand behind every statement:
 *
 * - Time is statement_timestamp(), in milliseconds: the server's clock, read once per statement.
 * - What decides whether a row is written stands in the WHERE of the statement that writes it. A statement that has to
 *   wait for a row lock looks at the row's newest version with that WHERE again (READ COMMITTED), so that no decision is
 *   made on a row that has changed since.
 * - A touch changes no indexed column, so that PostgreSQL can keep the new version beside the old one and touch no index
 *   (HOT). So expires_bucket, the only trace of the expiry in an index, is a lower bound of it: a write lowers it where
 *   the expiry comes forward, and never raises it; pruning does.
 */

const NOW = `(date_part('epoch', statement_timestamp()) * 1000)::bigint`

/** A minute in milliseconds: equal entries share their space in the index, and pruning is late by this much at most. */
export const BUCKET_MS = 60_000
/**
 * Rows for each committed step of what goes through the whole table: locks are short, and memory is constant. Not a
 * parameter, since plans are made without knowing those, and a small limit asks for another plan than a large one.
 */
export const PAGE_ROWS = 1_000
/** Rows for each step of pruning, which nobody waits for: few, so that it takes little from those who do wait. */
export const PRUNE_ROWS = 50
const bucketOf = (expires: string): string => `((${expires}) / ${BUCKET_MS})::integer`

const IS_TOMBSTONE = `(s.value is null and s.expires > ${NOW})`
/** The absolute deadline is asked for again: the absolute timeout may have become shorter since the row was written. */
const IS_LIVE = `(s.value is not null and s.expires > ${NOW} and s.created_at > ${NOW} - :absoluteMs)`

const TIMES = `
  s.created_at as "createdAt", s.last_active_at as "lastActiveAt",
  least(s.expires, s.created_at + :absoluteMs) as "expiresAt",
  s.idle_timeout as "idleTimeoutMs", s.version, ${NOW} as now`
const SESSION = `s.key as id, s.value, s.user_id as "userId", ${TIMES}`

/** Whether a write gives the row an idle timeout of its own (or null, for the default), or leaves the row's as it is. */
export type IdleTimeout = 'given' | 'kept'
/** One call by itself, or many as arrays of their values. */
export type Arity = 'one' | 'many'

/** The parameters of the calls as rows named p. */
const SOURCES = {
  touch: {
    given: {
      one: `(select :id as key, :idleTimeoutMs as idle_timeout) p`,
      many: `unnest(:ids, :idleTimeoutsMs) as p (key, idle_timeout)`
    },
    kept: {
      one: `(select :id as key) p`,
      many: `unnest(:ids) as p (key)`
    }
  },
  write: {
    given: {
      one: `(select :id as key, :value as value, :userId as user_id, :idleTimeoutMs as idle_timeout) p`,
      many: `unnest(:ids, :values, :userIds, :idleTimeoutsMs) as p (key, value, user_id, idle_timeout)`
    },
    kept: {
      one: `(select :id as key, :value as value, :userId as user_id) p`,
      many: `unnest(:ids, :values, :userIds) as p (key, value, user_id)`
    }
  },
  replace: {
    given: {
      one: `(select :id as key, :value as value, :userId as user_id, :version as version, :idleTimeoutMs as idle_timeout) p`,
      many: `unnest(:ids, :values, :userIds, :versions, :idleTimeoutsMs) as p (key, value, user_id, version, idle_timeout)`
    },
    kept: {
      one: `(select :id as key, :value as value, :userId as user_id, :version as version) p`,
      many: `unnest(:ids, :values, :userIds, :versions) as p (key, value, user_id, version)`
    }
  }
} as const

/** Builds every statement for one table; `table` is its qualified name, quoted, of letters, digits and underscores. */
export function sessionStatements(table: string) {
  const forArity = (build: (arity: Arity) => string): Record<Arity, Statement> => ({
    one: statement(build('one')),
    many: statement(build('many'))
  })
  const forIdle = (
    build: (idle: IdleTimeout, arity: Arity) => string
  ): Record<IdleTimeout, Record<Arity, Statement>> => ({
    given: forArity((arity) => build('given', arity)),
    kept: forArity((arity) => build('kept', arity))
  })

  const keyCondition = (arity: Arity) => (arity === 'one' ? 's.key = :id' : 's.key = any(:ids)')

  /**
   * The head of an update of the rows of p, and where p is then. Many rows are locked first, in the order of their keys: an
   * update locks in the order of its plan, and two batches on the same sessions would wait for each other (deadlock).
   */
  const head = (arity: Arity, source: Record<Arity, string>) =>
    arity === 'one'
      ? ''
      : `with p as materialized (
          select p.* from ${source.many} join ${table} s on s.namespace = :namespace and s.key = p.key
          order by s.key for no key update of s
        )`
  const from = (arity: Arity, source: Record<Arity, string>) => (arity === 'one' ? source.one : 'p')

  /** Sets of columns, given the expression of the row's idle timeout after the write. */
  const setExpires = (idle: string, createdAt: string) => {
    const expires = `least(${NOW} + coalesce(${idle}, :defaultIdleMs), ${createdAt} + :absoluteMs)`
    return `expires = ${expires}, expires_bucket = least(s.expires_bucket, ${bucketOf(expires)})`
  }
  const setIdle = (idle: IdleTimeout) => (idle === 'given' ? 'idle_timeout = p.idle_timeout,' : '')
  const idleAfter = (idle: IdleTimeout) => (idle === 'given' ? 'p.idle_timeout' : 's.idle_timeout')

  /** A touch brings the expiry forward only where it is told a shorter timeout, or the absolute one has become shorter. */
  const setTouched = (idle: IdleTimeout) => {
    const byIdle = `${NOW} + coalesce(${idleAfter(idle)}, :defaultIdleMs)`
    const expires = `least(${idle === 'given' ? byIdle : `greatest(s.expires, ${byIdle})`}, s.created_at + :absoluteMs)`
    return `
      ${setIdle(idle)}
      last_active_at = ${NOW},
      expires = ${expires}, expires_bucket = least(s.expires_bucket, ${bucketOf(expires)})`
  }

  const setWritten = (idle: IdleTimeout) => {
    const createdAt = `(case when s.user_id is distinct from p.user_id then ${NOW} else s.created_at end)`
    return `
      ${setIdle(idle)}
      value = p.value, user_id = p.user_id, version = s.version + 1,
      created_at = ${createdAt}, last_active_at = ${NOW},
      ${setExpires(idleAfter(idle), createdAt)}`
  }

  const SET_ENDED = `
    value = null, user_id = null, idle_timeout = null, successor = null, last_active_at = ${NOW},
    expires = ${NOW} + :tombstoneMs, expires_bucket = ${bucketOf(`${NOW} + :tombstoneMs`)}`

  const newRow = (idle: IdleTimeout) => {
    const idleTimeout = idle === 'given' ? 'p.idle_timeout' : 'null::bigint'
    const expires = `${NOW} + least(coalesce(${idleTimeout}, :defaultIdleMs), :absoluteMs)`
    return `
      insert into ${table} as s
        (namespace, key, value, user_id, idle_timeout, version, created_at, last_active_at, expires, expires_bucket)
      select
        :namespace, p.key, p.value, p.user_id, ${idleTimeout}, 1, ${NOW}, ${NOW}, ${expires}, ${bucketOf(expires)}
      from`
  }
  /** Rows are inserted, and existing ones locked, in the order of their keys. */
  const inKeyOrder = (arity: Arity) => (arity === 'one' ? '' : 'order by p.key collate "C"')

  return {
    read: forArity(
      (arity) => `
        select ${SESSION} from ${table} s
        where s.namespace = :namespace and ${keyCondition(arity)} and ${IS_LIVE}`
    ),

    insert: forArity(
      (arity) => `
        ${newRow('given')} ${SOURCES.write.given[arity]} ${inKeyOrder(arity)}
        on conflict (namespace, key) do nothing
        returning s.key as id, ${TIMES}`
    ),

    /** No row comes back for a key with a tombstone. */
    putOrInsert: forIdle((idle, arity) => {
      const isGone = `not ${IS_LIVE}`
      const createdAt = `(case when ${isGone} or s.user_id is distinct from excluded.user_id then ${NOW} else s.created_at end)`
      const idleTimeout =
        idle === 'given' ? 'excluded.idle_timeout' : `(case when ${isGone} then null else s.idle_timeout end)`
      return `
        ${newRow(idle)} ${SOURCES.write[idle][arity]} ${inKeyOrder(arity)}
        on conflict (namespace, key) do update set
          value = excluded.value, user_id = excluded.user_id, idle_timeout = ${idleTimeout}, successor = null,
          version = case when ${isGone} then 1 else s.version + 1 end,
          created_at = ${createdAt}, last_active_at = ${NOW},
          ${setExpires(idleTimeout, createdAt)}
        where not ${IS_TOMBSTONE}
        returning s.key as id, ${TIMES}`
    }),

    /** No row comes back for a key without a live row. */
    putOrRefuse: forIdle(
      (idle, arity) => `
        ${head(arity, SOURCES.write[idle])}
        update ${table} s set ${setWritten(idle)}
        from ${from(arity, SOURCES.write[idle])}
        where s.namespace = :namespace and s.key = p.key and ${IS_LIVE}
        returning s.key as id, ${TIMES}`
    ),

    /** As putOrRefuse, and none for a live row of another version. */
    replace: forIdle(
      (idle, arity) => `
        ${head(arity, SOURCES.replace[idle])}
        update ${table} s set ${setWritten(idle)}
        from ${from(arity, SOURCES.replace[idle])}
        where s.namespace = :namespace and s.key = p.key and s.version = p.version and ${IS_LIVE}
        returning s.key as id, ${TIMES}`
    ),

    /** What there is of keys for which an update has brought nothing back. */
    state: statement(`
      select s.key as id, s.value is not null as "isLive" from ${table} s
      where s.namespace = :namespace and s.key = any(:ids) and (${IS_TOMBSTONE} or ${IS_LIVE})`),

    touch: forIdle(
      (idle, arity) => `
        ${head(arity, SOURCES.touch[idle])}
        update ${table} s set ${setTouched(idle)}
        from ${from(arity, SOURCES.touch[idle])}
        where s.namespace = :namespace and s.key = p.key and ${IS_LIVE}
        returning s.key as id, ${TIMES}`
    ),

    end: forArity(
      (arity) => `
        ${head(arity, SOURCES.touch.kept)}
        update ${table} s set ${SET_ENDED}
        from ${from(arity, SOURCES.touch.kept)}
        where s.namespace = :namespace and s.key = p.key and ${IS_LIVE}
        returning s.key as id`
    ),

    /**
     * The row itself moves. So whoever waits for it by its user finds its new version; whoever waits for it by its old
     * id does not, and meets the tombstone.
     */
    rotate: {
      touched: statement(rotation(setTouched('kept'), SOURCES.touch.kept.one)),
      written: {
        given: statement(rotation(setWritten('given'), SOURCES.write.given.one)),
        kept: statement(rotation(setWritten('kept'), SOURCES.write.kept.one))
      }
    },

    /**
     * Ends what a session has become since it had this id, along the tombstones that rotation left. If it was live in the
     * statement's snapshot and yet not ended, it has been rotated once more at this moment.
     */
    revoke: statement(`
      with recursive chain (key, length) as (
        select :id collate "C", 0
        union all
        select (
          select s.successor from ${table} s
          where s.namespace = :namespace and s.key = chain.key and ${IS_TOMBSTONE}
        ), chain.length + 1
        from chain where chain.key is not null and chain.length < 10000
      ), present as materialized (
        select s.key from ${table} s
        where s.namespace = :namespace
          and s.key = (select chain.key from chain where chain.key is not null order by chain.length desc limit 1)
          and ${IS_LIVE} and (:userId is null or s.user_id = :userId)
      ), ended as (
        update ${table} s set ${SET_ENDED}
        where s.namespace = :namespace and s.key = (select present.key from present) and ${IS_LIVE}
          and (:userId is null or s.user_id = :userId)
        returning 1
      )
      select (select key from present) as present, exists (select from ended) as "isEnded"`),

    /**
     * One direct update, not one of keys looked up before: a row that is being rotated is waited for, and found under
     * its new key.
     */
    endByUser: statement(`
      update ${table} s set ${SET_ENDED}
      where s.namespace = :namespace and s.user_id = :userId and ${IS_LIVE} and (:except is null or s.key <> :except)
      returning s.key as id`),

    /** One page of the keys after the cursor; null as the cursor comes back where there are no more. */
    endPage: statement(`
      with page as materialized (
        select s.key from ${table} s
        where s.namespace = :namespace and s.key > :cursor and s.value is not null
        order by s.key limit ${PAGE_ROWS}
      ), locked as materialized (
        select s.key from ${table} s
        where s.namespace = :namespace and s.key in (select page.key from page)
        order by s.key for no key update
      ), ended as (
        update ${table} s set ${SET_ENDED}
        from locked
        where s.namespace = :namespace and s.key = locked.key and ${IS_LIVE}
        returning 1
      )
      select (select max(key) from page) as cursor, (select count(*) from ended) as ended`),

    /** What moved from a key that endPage had yet to visit to one that it had visited. */
    endRest: statement(`
      with ended as (
        update ${table} s set ${SET_ENDED}
        where s.namespace = :namespace and ${IS_LIVE}
        returning 1
      )
      select count(*) as ended from ended`),

    listByUser: statement(`
      select ${SESSION} from ${table} s
      where s.namespace = :namespace and s.user_id = :userId and ${IS_LIVE}
      order by s.last_active_at desc, s.key`),

    idsByUser: statement(`
      select s.key as id from ${table} s
      where s.namespace = :namespace and s.user_id = :userId and ${IS_LIVE}
      order by s.last_active_at desc, s.key`),

    countByUser: statement(`
      select count(*) as count from ${table} s
      where s.namespace = :namespace and s.user_id = :userId and ${IS_LIVE}`),

    count: statement(`
      select count(*) as count from ${table} s where s.namespace = :namespace and ${IS_LIVE}`),

    page: statement(`
      select ${SESSION} from ${table} s
      where s.namespace = :namespace and s.key > :cursor and ${IS_LIVE}
      order by s.key limit ${PAGE_ROWS}`),

    /**
     * One batch. Only rows that have work to do are taken: expired ones are deleted, and of those still live whose bucket
     * has passed, the bucket is raised. Both ask again at the row's newest version. Without the lock, null comes back.
     */
    prune: statement(`
      with turn as materialized (
        select pg_try_advisory_xact_lock(hashtextextended('bodhi-session prune ${table} ' || :namespace, 0)) as won
      ), candidates as materialized (
        select s.key from ${table} s
        where (select won from turn)
          and s.namespace = :namespace and s.expires_bucket <= ${bucketOf(NOW)}
          and (s.expires <= ${NOW} or ${bucketOf('s.expires')} > s.expires_bucket)
        order by s.expires_bucket limit ${PRUNE_ROWS} for update skip locked
      ), removed as (
        delete from ${table} s using candidates
        where s.namespace = :namespace and s.key = candidates.key and s.expires <= ${NOW}
        returning s.value is not null as was_session
      ), raised as (
        update ${table} s set expires_bucket = ${bucketOf('s.expires')} from candidates
        where s.namespace = :namespace and s.key = candidates.key and s.expires > ${NOW}
        returning 1
      )
      select
        (select won from turn) as won,
        (select count(*) from removed where was_session) as removed,
        (select count(*) from candidates) as visited,
        (select count(*) from raised) as raised`),

    ping: statement('select 1 as answer')
  }

  function rotation(set: string, source: string): string {
    return `
      with moved as (
        update ${table} s set key = :newId, ${set}
        from ${source}
        where s.namespace = :namespace and s.key = p.key and ${IS_LIVE}
        returning ${SESSION}
      ), buried as (
        insert into ${table} (namespace, key, version, created_at, last_active_at, expires, expires_bucket, successor)
        select :namespace, :id, 0, ${NOW}, ${NOW}, ${NOW} + :tombstoneMs, ${bucketOf(`${NOW} + :tombstoneMs`)}, :newId
        from moved
      )
      select * from moved`
  }
}

export type SessionStatements = ReturnType<typeof sessionStatements>
