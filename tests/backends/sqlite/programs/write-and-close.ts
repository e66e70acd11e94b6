import { idOf, openStore } from './store.ts'

// Writes enough to start the thread for checkpoints, or (`--little`) not, and closes: `write-and-close.ts <path> [--little]`.
const [path = '', amount] = process.argv.slice(2)
const store = openStore(path)
const value = JSON.stringify({ text: 'x'.repeat(20_000) })
for (let round = 0; round < (amount === '--little' ? 1 : 20); round++) {
  await Promise.all(
    Array.from({ length: 50 }, (_, n) => store.put(idOf(`${round} ${n}`), { value, userId: null }, 'insert'))
  )
}
await store.disconnect()
console.log('closed')
