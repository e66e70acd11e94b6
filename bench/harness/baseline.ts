import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { ClaimResult, Table } from './claim.ts'

/** What bench/baseline.json holds: the last full results, which the documentation quotes. */
export interface Baseline {
  readonly claims: Readonly<Record<string, ClaimSummary>>
}

export type ClaimSummary = Omit<ClaimResult, 'raw'> & {
  readonly measuredAt: string
  readonly machine: string
  readonly rounds: number
  readonly sliceMs: number
  readonly sessions: number
}

export const BASELINE_FILE = fileURLToPath(new URL('../baseline.json', import.meta.url))

/** Empty where nothing has been measured yet. */
export async function readBaseline(): Promise<Baseline> {
  let text: string
  try {
    text = await readFile(BASELINE_FILE, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return { claims: {} }
    throw error
  }
  return JSON.parse(text) as Baseline // written by run.ts
}

export function tableOf({ claims }: Baseline, claim: string, titleStart: string): Table | undefined {
  const tables = claims[claim]?.tables ?? []
  return (
    tables.find(({ title }) => title === titleStart) ??
    tables.find(({ title }) => title.startsWith(titleStart))
  )
}
