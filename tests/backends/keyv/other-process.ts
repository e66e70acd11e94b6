// A second process on one Redis: does what its arguments say, again and again, until its input ends (processes.test.ts).
import { DefaultSessionService } from '../../../src/default-session-service.ts'

const [url = '', token = ''] = process.argv.slice(2)
await using sessions = await DefaultSessionService.connect(url, { touchAfterMs: 0 })
let isOver = false
process.stdin.on('end', () => {
  isOver = true
})
process.stdin.resume()
process.stdout.write('ready\n')
while (!isOver) {
  await Promise.all([
    sessions.put(token, { user_id: 'ada', at: Date.now() }, { ifMissing: 'refuse' }),
    sessions.touch(token),
    sessions.update(token, (data) => {
      data['seen'] = true
    })
  ])
}
