import { idOf, openStore } from './store.ts'

// Tries to write without the rights of root, and prints the error: `open-as-nobody.ts <path>`.
if (process.getuid?.() === 0) {
  process.setgid?.(65_534)
  process.setuid?.(65_534)
}
const store = openStore(process.argv[2] ?? '')
const error: unknown = await store.insert(idOf('a'), { value: '{}', userId: null }).catch((e: unknown) => e)
const { name, message, code } = error as { name?: string; message?: string; code?: string }
console.log(JSON.stringify({ name, message, code }))
