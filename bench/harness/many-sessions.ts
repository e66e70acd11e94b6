import type { BenchPostgres } from './servers.ts'

/** Where our sessions are, in one database of the bench. */
export interface SessionTable {
  readonly database: string
  readonly table: string
}

/**
 * Copies the sessions 0 to `from` until there are `to` of them, within the server: a million through the API would take
 * minutes. The n-th has the key that keyOf(n) gives, hashed as the service hashes it; all else is copied.
 */
export async function multiplySessions(
  postgres: BenchPostgres,
  { database, table }: SessionTable,
  from: number,
  to: number
): Promise<void> {
  const columns = await postgres.query<{ name: string }>(
    database,
    `select quote_ident(column_name) as name from information_schema.columns
      where table_schema = 'public' and table_name = $1 and column_name <> 'key' order by ordinal_position`,
    [table]
  )
  const names = columns.map(({ name }) => name).join(', ')
  await postgres.query(
    database,
    `insert into ${table} (key, ${names})
      select ${keySql('n')}, ${names}
      from generate_series(${from}, ${to - 1}) as n
      join (
        select s.*, numbers.number from ${table} s
        join (select number, ${keySql('number')} as key from generate_series(0, ${from - 1}) as number) numbers using (key)
      ) source on source.number = n % ${from}`
  )
  await postgres.query(database, `vacuum analyze ${table}`)
  await postgres.query('postgres', 'checkpoint')
}

/** As keyOf and sessionIdOf: base64url of the SHA-256 of the MD5 of the number. */
export function keySql(number: string): string {
  return `translate(rtrim(encode(sha256(convert_to(md5(${number}::text), 'UTF8')), 'base64'), '='), '+/', '-_')`
}
