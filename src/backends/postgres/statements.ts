import { ID, isTrueAt, NOW, type RowReader, SEEN, SESSION, TIMES } from './rows.ts'
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

/** A minute in milliseconds: equal entries share their space in the index, and pruning is late by this much at most. */
export const BUCKET_MS = 60_000
/**
 * Rows for each committed step of what goes through the whole table: locks are short, and memory is constant. Not a
 * parameter, since plans are made without knowing those, and a small limit asks for another plan than a large one.
 */
export const PAGE_ROWS = 1_000
/** Rows for each step of pruning, which nobody waits for: few, so that it takes little from those who do wait. */
export const PRUNE_ROWS = 25
const bucketOf = (expires: string): string => `((${expires}) / ${BUCKET_MS})::integer`

const IS_TOMBSTONE = `(s.value is null and s.expires > ${NOW})`
/** The absolute deadline is asked for again: the absolute timeout may have become shorter since the row was written. */
const IS_LIVE = `(s.value is not null and s.expires > ${NOW} and s.created_at > ${NOW} - :absoluteMs)`

/**
 * What is looked up by key is looked up in the primary key, row by row, also by plans made while the table was nearly
 * empty, when reading all of it by any index looks cheaper. So these two conditions are such that no other index can serve
 * the namespace, and no join but a nested loop can serve a list of keys.
 */
const IN_NAMESPACE = 's.namespace = :namespace collate "POSIX"'
const keyIs = (key: string): string => `s.key = any(array[${key}])`

/**
 * A touch is not worth a sync of the disk, nor is a step of pruning, which a later one would repeat: should the server crash, what it may lose of touches is the last 0.6 s
 * (wal_writer_delay, three times), and a session then ends earlier by what such a touch had gained. Asked once for each
 * statement, before anything else; it holds for the statement's own commit.
 */
const COMMITS_LATER = `(select set_config('synchronous_commit', 'off', true)) = 'off'`

/** Whether a write gives the row an idle timeout of its own (or null, for the default), or leaves the row's as it is. */
export type IdleTimeout = 'given' | 'kept'
/** One call by itself, or many as arrays of their values. */
export type Arity = 'one' | 'many'

/** The parameters of the calls as rows named p. */
type Source = Readonly<Record<Arity, string>>
const IDS: Source = {
  one: `(select :id as key) p`,
  many: `unnest(:ids) as p (key)`
}
const SOURCES = {
  touch: {
    given: {
      one: `(select :id as key, :idleTimeoutMs as idle_timeout) p`,
      many: `unnest(:ids, :idleTimeoutsMs) as p (key, idle_timeout)`
    },
    kept: IDS
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
  const forArity = <Row>(
    read: RowReader<Row>,
    build: (arity: Arity) => string
  ): Record<Arity, Statement<Row>> => ({
    one: statement(build('one'), read),
    many: statement(build('many'), read)
  })
  const forEachIdle = <Row>(
    build: (idle: IdleTimeout) => Record<Arity, Statement<Row>>
  ): Record<IdleTimeout, Record<Arity, Statement<Row>>> => ({ given: build('given'), kept: build('kept') })

  const keyCondition = (arity: Arity) => (arity === 'one' ? 's.key = :id' : 's.key = any(:ids)')

  /**
   * An update of live rows, by itself and for many calls. An update locks rows in the order in which its plan comes upon
   * them, and two batches that meet the same sessions in different orders wait for each other (deadlock). Batches come
   * sorted by key, and where connections plan as they are told (PLANNING in pool.ts) rows are taken in that order.
   * Elsewhere they are locked first, which looks up each of them twice.
   */
  const update = <Row>(
    source: Source,
    {
      set,
      where = 'true',
      returning
    }: { set: string; where?: string; returning: { columns: string; read: RowReader<Row> } }
  ): Record<Arity, Statement<Row>> => {
    const updateOf = (rows: string) => `
      update ${table} s set ${set} ${rows} and ${where} and ${IS_LIVE}
      returning ${returning.columns}`
    const planned = (arity: Arity) =>
      updateOf(
        source === IDS
          ? `where ${keyCondition(arity)} and ${IN_NAMESPACE}`
          : `from ${source[arity]} where ${keyIs('p.key')} and ${IN_NAMESPACE}`
      )
    const unplanned = `
      with p as materialized (
        select p.* from ${source.many} join ${table} s on s.namespace = :namespace and s.key = p.key
        order by s.key for no key update of s
      ) ${updateOf('from p where s.namespace = :namespace and s.key = p.key')}`
    return {
      one: statement(planned('one'), returning.read),
      many: {
        ...statement(planned('many'), returning.read),
        unplanned: statement(unplanned, returning.read)
      }
    }
  }

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
    const deadline = 's.created_at + :absoluteMs'
    const expires = `least(${idle === 'given' ? byIdle : `greatest(s.expires, ${byIdle})`}, ${deadline})`
    const earliest = idle === 'given' ? expires : deadline // what it may be brought forward to
    return `
      ${setIdle(idle)}
      last_active_at = ${NOW},
      expires = ${expires}, expires_bucket = least(s.expires_bucket, ${bucketOf(earliest)})`
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
  return {
    read: forArity(
      SESSION.read,
      (arity) => `
        select ${SESSION.columns} from ${table} s
        where ${IN_NAMESPACE} and ${keyCondition(arity)} and ${IS_LIVE}`
    ),

    insert: forArity(
      TIMES.read,
      (arity) => `
        ${newRow('given')} ${SOURCES.write.given[arity]}
        on conflict (namespace, key) do nothing
        returning ${TIMES.columns}`
    ),

    /** No row comes back for a key with a tombstone. Batches come sorted by key here too. */
    putOrInsert: forEachIdle((idle) => {
      const isGone = `not ${IS_LIVE}`
      const createdAt = `(case when ${isGone} or s.user_id is distinct from excluded.user_id then ${NOW} else s.created_at end)`
      const idleTimeout =
        idle === 'given' ? 'excluded.idle_timeout' : `(case when ${isGone} then null else s.idle_timeout end)`
      return forArity(
        SEEN.read,
        (arity) => `
        ${newRow(idle)} ${SOURCES.write[idle][arity]}
        on conflict (namespace, key) do update set
          value = excluded.value, user_id = excluded.user_id, idle_timeout = ${idleTimeout}, successor = null,
          version = case when ${isGone} then 1 else s.version + 1 end,
          created_at = ${createdAt}, last_active_at = ${NOW},
          ${setExpires(idleTimeout, createdAt)}
        where not ${IS_TOMBSTONE}
        returning ${SEEN.columns}`
      )
    }),

    /** No row comes back for a key without a live row. */
    putOrRefuse: forEachIdle((idle) =>
      update(SOURCES.write[idle], { set: setWritten(idle), returning: SEEN })
    ),

    /** As putOrRefuse, and none for a live row of another version. */
    replace: forEachIdle((idle) =>
      update(SOURCES.replace[idle], {
        set: setWritten(idle),
        where: 's.version = p.version',
        returning: TIMES
      })
    ),

    /** What there is of keys for which an update has brought nothing back. */
    state: statement(
      `
      select s.key, s.value is not null from ${table} s
      where ${IN_NAMESPACE} and s.key = any(:ids) and (${IS_TOMBSTONE} or ${IS_LIVE})`,
      (columns) => ({ ...ID.read(columns), isLive: isTrueAt(columns, 1) })
    ),

    touch: forEachIdle((idle) =>
      update(SOURCES.touch[idle], {
        set: setTouched(idle),
        ...(idle === 'kept' && { where: COMMITS_LATER }),
        returning: SEEN
      })
    ),

    end: update(IDS, { set: SET_ENDED, returning: ID }),

    /**
     * The row itself moves. So whoever waits for it by its user finds its new version; whoever waits for it by its old
     * id does not, and meets the tombstone.
     */
    rotate: {
      touched: statement(rotation(setTouched('kept'), SOURCES.touch.kept.one), SESSION.read),
      written: {
        given: statement(rotation(setWritten('given'), SOURCES.write.given.one), SESSION.read),
        kept: statement(rotation(setWritten('kept'), SOURCES.write.kept.one), SESSION.read)
      }
    },

    /**
     * Ends what a session has become since it had this id, along the tombstones that rotation left. If it was live in the
     * statement's snapshot and yet not ended, it has been rotated once more at this moment.
     */
    revoke: statement(
      `
      with recursive chain (key, length) as (
        select :id collate "C", 0
        union all
        select (
          select s.successor from ${table} s
          where ${IN_NAMESPACE} and s.key = chain.key and ${IS_TOMBSTONE}
        ), chain.length + 1
        from chain where chain.key is not null and chain.length < 10000
      ), present as materialized (
        select s.key from ${table} s
        where ${IN_NAMESPACE}
          and s.key = (select chain.key from chain where chain.key is not null order by chain.length desc limit 1)
          and ${IS_LIVE} and (:userId is null or s.user_id = :userId)
      ), ended as (
        update ${table} s set ${SET_ENDED}
        where ${IN_NAMESPACE} and s.key = (select present.key from present) and ${IS_LIVE}
          and (:userId is null or s.user_id = :userId)
        returning 1
      )
      select (select key from present) as present, exists (select from ended) as is_ended`,
      (columns) => ({ present: columns[0] ?? null, isEnded: isTrueAt(columns, 1) })
    ),

    /**
     * One direct update, not one of keys looked up before: a row that is being rotated is waited for, and found under
     * its new key.
     */
    endByUser: statement(
      `
      update ${table} s set ${SET_ENDED}
      where s.namespace = :namespace and s.user_id = :userId and ${IS_LIVE} and (:except is null or s.key <> :except)
      returning ${ID.columns}`,
      ID.read
    ),

    /** One page of the keys after the cursor; null as the cursor comes back where there are no more. */
    endPage: statement(
      `
      with page as materialized (
        select s.key from ${table} s
        where s.namespace = :namespace and s.key > :cursor and s.value is not null
        order by s.key limit ${PAGE_ROWS}
      ), locked as materialized (
        select s.key from ${table} s
        where ${IN_NAMESPACE} and s.key in (select page.key from page)
        order by s.key for no key update
      ), ended as (
        update ${table} s set ${SET_ENDED}
        from locked
        where ${IN_NAMESPACE} and ${keyIs('locked.key')} and ${IS_LIVE}
        returning 1
      )
      select (select max(key) from page) as cursor, (select count(*) from ended) as ended`,
      (columns) => ({ cursor: columns[0] ?? null, ended: Number(columns[1]) })
    ),

    /** What moved from a key that endPage had yet to visit to one that it had visited. */
    endRest: statement(
      `
      with ended as (
        update ${table} s set ${SET_ENDED}
        where s.namespace = :namespace and ${IS_LIVE}
        returning 1
      )
      select count(*) as ended from ended`,
      (columns) => ({ ended: Number(columns[0]) })
    ),

    listByUser: statement(
      `
      select ${SESSION.columns} from ${table} s
      where s.namespace = :namespace and s.user_id = :userId and ${IS_LIVE}
      order by s.last_active_at desc, s.key`,
      SESSION.read
    ),

    idsByUser: statement(
      `
      select ${ID.columns} from ${table} s
      where s.namespace = :namespace and s.user_id = :userId and ${IS_LIVE}
      order by s.last_active_at desc, s.key`,
      ID.read
    ),

    countByUser: statement(
      `
      select count(*) as count from ${table} s
      where s.namespace = :namespace and s.user_id = :userId and ${IS_LIVE}`,
      (columns) => ({ count: Number(columns[0]) })
    ),

    count: statement(
      `
      select count(*) as count from ${table} s where s.namespace = :namespace and ${IS_LIVE}`,
      (columns) => ({ count: Number(columns[0]) })
    ),

    page: statement(
      `
      select ${SESSION.columns} from ${table} s
      where s.namespace = :namespace and s.key > :cursor and ${IS_LIVE}
      order by s.key limit ${PAGE_ROWS}`,
      SESSION.read
    ),

    /**
     * One batch. Only rows that have work to do are taken: expired ones are deleted, and of those still live whose bucket
     * has passed, the bucket is raised. Both ask again at the row's newest version. Without the lock, null comes back.
     */
    prune: statement(
      `
      with turn as materialized (
        select pg_try_advisory_xact_lock(hashtextextended('bodhi-session prune ${table} ' || :namespace, 0)) as won
      ), candidates as materialized (
        select s.key from ${table} s
        where (select won from turn) and ${COMMITS_LATER}
          and s.namespace = :namespace and s.expires_bucket <= ${bucketOf(NOW)}
          and (s.expires <= ${NOW} or ${bucketOf('s.expires')} > s.expires_bucket)
        order by s.expires_bucket limit ${PRUNE_ROWS} for update skip locked
      ), removed as (
        delete from ${table} s using candidates
        where ${IN_NAMESPACE} and ${keyIs('candidates.key')} and s.expires <= ${NOW}
        returning s.value is not null as was_session
      ), raised as (
        update ${table} s set expires_bucket = ${bucketOf('s.expires')} from candidates
        where ${IN_NAMESPACE} and ${keyIs('candidates.key')} and s.expires > ${NOW}
        returning 1
      )
      select
        (select won from turn) as won,
        (select count(*) from removed where was_session) as removed,
        (select count(*) from candidates) as visited`,
      (columns) => ({ won: isTrueAt(columns, 0), removed: Number(columns[1]), visited: Number(columns[2]) })
    ),

    ping: statement('select 1', () => undefined)
  }

  function rotation(set: string, source: string): string {
    return `
      with moved as (
        update ${table} s set key = :newId, ${set}
        from ${source}
        where ${IN_NAMESPACE} and s.key = p.key and ${IS_LIVE}
        returning ${SESSION.columns}
      ), buried as (
        insert into ${table} (namespace, key, version, created_at, last_active_at, expires, expires_bucket, successor)
        select :namespace, :id, 0, ${NOW}, ${NOW}, ${NOW} + :tombstoneMs, ${bucketOf(`${NOW} + :tombstoneMs`)}, :newId
        from moved
      )
      select * from moved`
  }
}

export type SessionStatements = ReturnType<typeof sessionStatements>
