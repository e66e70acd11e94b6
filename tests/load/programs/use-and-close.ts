import { DefaultSessionService } from '../../../src/index.ts'

const [url = ''] = process.argv.slice(2)

const sessions = await DefaultSessionService.connect<{ n: number }>(url)
const created = await Promise.all(Array.from({ length: 100 }, (_, n) => sessions.create({ n })))
await Promise.all(created.map(({ token }) => sessions.touch(token)))
await sessions.pruneExpired()
console.log('used')
process.on('exit', () => console.log('ended'))
// The channel to the test would keep the process alive by itself.
process.disconnect?.()
await sessions.close()
console.log('closed')
