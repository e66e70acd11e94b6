import type { Claim } from '../harness/claim.ts'
import { entries } from './entries.ts'
import { frameworks } from './frameworks.ts'
import { growth } from './growth.ts'
import { postgresThroughput } from './postgres-throughput.ts'
import { prune } from './prune.ts'
import { sqliteDurability } from './sqlite-durability.ts'
import { sqliteThroughput } from './sqlite-throughput.ts'
import { touchCost } from './touch-cost.ts'

/** In the order in which they run; the quick ones also with --quick. */
export const CLAIMS: ReadonlyArray<Claim & { readonly isQuick: boolean }> = [
  { ...postgresThroughput, isQuick: true },
  { ...sqliteThroughput, isQuick: true },
  { ...sqliteDurability, isQuick: true },
  { ...touchCost, isQuick: false },
  { ...prune, isQuick: false },
  { ...growth, isQuick: false },
  { ...frameworks, isQuick: false },
  { ...entries, isQuick: false }
]
