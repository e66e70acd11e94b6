import { DatabaseSync } from 'node:sqlite'

// Holds the write lock until a line arrives on the standard input: `hold-lock.ts <path>`.
const database = new DatabaseSync(process.argv[2] ?? '', { timeout: 30_000 })
database.exec('begin immediate')
console.log('locked')
process.stdin.once('data', () => {
  database.exec('rollback')
  database.close()
  process.stdin.unref()
})
