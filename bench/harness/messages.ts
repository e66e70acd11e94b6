import type { ContenderName } from '../contenders/registry.ts'
import type { ContenderSetup } from './contender.ts'
import type { Figures, Slice } from './measure.ts'

/** What the runner asks of a contender's process. */
export type Request =
  | { readonly do: 'open'; readonly name: ContenderName; readonly setup: ContenderSetup }
  /** Uses the sessions 0 to `count`, and writes them first where `write` says so. */
  | { readonly do: 'fill'; readonly count: number; readonly write: boolean }
  | { readonly do: 'measure'; readonly slice: Slice }
  | { readonly do: 'prune' }
  | { readonly do: 'close' }

export type Answer = { readonly figures?: Figures; readonly pruned?: Pruned }

/** Numbered, since pruning and a load may be under way side by side. */
export interface RequestMessage {
  readonly id: number
  readonly request: Request
}

export type AnswerMessage = { readonly id: number } & (
  | { readonly answer: Answer }
  | { readonly error: string }
)

export interface Pruned {
  readonly rows: number
  readonly elapsedMs: number
}
