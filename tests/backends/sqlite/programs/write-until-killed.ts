import { idOf, openStore } from './store.ts'

// Saves and ends sessions, and says so line by line, until it is killed: `write-until-killed.ts <path>`.
const store = openStore(process.argv[2] ?? '', 'full')
await store.ready()
const value = JSON.stringify({ text: 'x'.repeat(2_000) })

async function write(caller: number): Promise<void> {
  for (let round = 0; ; round++) {
    const kept = `kept ${caller} ${round}`
    const ended = `ended ${caller} ${round}`
    await Promise.all([
      store.insert(idOf(kept), { value, userId: null }),
      store.insert(idOf(ended), { value, userId: null })
    ])
    process.stdout.write(`${kept}\n`)
    await store.end(idOf(ended))
    process.stdout.write(`${ended}\n`)
  }
}

await Promise.all(Array.from({ length: 16 }, (_, caller) => write(caller)))
