import { readdirSync, readFileSync } from 'node:fs'

/** Linux counts CPU time in these; `getconf CLK_TCK` says 100 on every architecture that Node runs on. */
const TICK_MS = 10

/** CPU milliseconds that a process and its children have used so far. undefined where there is no /proc. */
export function cpuOfFamilyMs(pid: number): number | undefined {
  const own = readStat(pid)
  if (own === undefined) return undefined
  let ticks = own.ticks + own.ticksOfEndedChildren
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const stat = readStat(Number(name))
    if (stat?.parent === pid) ticks += stat.ticks
  }
  return ticks * TICK_MS
}

function readStat(pid: number): { parent: number; ticks: number; ticksOfEndedChildren: number } | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined // not Linux, or gone in the meantime
  }
  // The second field is the program's name in brackets, which may hold spaces. See proc_pid_stat(5).
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  const [, parent = 0, , , , , , , , , , user = 0, system = 0, endedUser = 0, endedSystem = 0] = fields
  return { parent, ticks: user + system, ticksOfEndedChildren: endedUser + endedSystem }
}
