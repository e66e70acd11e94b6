import { idOf, openStore } from './store.ts'

// Adds 1 to shared counters, and writes sessions of its own: `increment.ts <path> <name> <rounds>`.
const [path = '', name = '', rounds = ''] = process.argv.slice(2)
const store = openStore(path)
await store.ready()

async function increment(counter: string): Promise<void> {
  for (;;) {
    const row = await store.read(idOf(counter))
    if (row === undefined) throw new Error(`${counter} is missing`)
    const { n } = JSON.parse(row.value) as { n: number }
    const outcome = await store.replace(
      idOf(counter),
      { value: JSON.stringify({ n: n + 1 }), userId: null },
      row.version
    )
    if (outcome.outcome === 'stored') return
  }
}

for (let round = 0; round < Number(rounds); round++) {
  await Promise.all([
    increment('counter 0'),
    increment('counter 1'),
    store.insert(idOf(`${name} ${round}`), { value: '{}', userId: name }),
    store.touch(idOf('counter 0'))
  ])
}
await store.disconnect()
