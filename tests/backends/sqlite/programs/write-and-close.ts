import { idOf, openStore } from './store.ts'

// Writes enough to start the thread for checkpoints, or (`--little`) not, and closes the store, or (`--unclosed`) not:
// `write-and-close.ts <path> [--little | --unclosed]`.
const [path = '', amount] = process.argv.slice(2)
const store = openStore(path)
const value = JSON.stringify({ text: 'x'.repeat(20_000) })
for (let round = 0; round < (amount === '--little' ? 1 : 20); round++) {
  await Promise.all(
    Array.from({ length: 50 }, (_, n) => store.put(idOf(`${round} ${n}`), { value, userId: null }, 'insert'))
  )
}
if (amount !== '--unclosed') await store.disconnect()
console.log('done')
