import { statSync } from 'node:fs'
import { idOf, openStore } from './store.ts'

// Writes 50 MB and says how long the log became: `write-and-measure.ts <path>`.
const path = process.argv[2] ?? ''
const store = openStore(path)
const value = JSON.stringify({ text: 'x'.repeat(100_000) })
let largest = 0
for (let round = 0; round < 500; round++) {
  await store.put(idOf(`${round % 20}`), { value, userId: null }, 'insert')
  largest = Math.max(largest, statSync(`${path}-wal`).size)
}
await store.disconnect()
console.log(`closed after a log of at most ${Math.ceil(largest / 1024 / 1024)} MiB`)
