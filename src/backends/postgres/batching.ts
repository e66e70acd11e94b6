export interface BatchKind<Input, Output> {
  readonly access: 'read' | 'write'
  /** Calls of this kind on one key that wait one behind the other may share one answer. */
  readonly sharesAnswers: boolean
  /** The most calls in one batch; undefined: the batcher's limit. */
  readonly maxRows?: number
  /** The answers in the order of the inputs. All fail together: what is written is written for all or for none. */
  readonly run: (inputs: readonly Input[]) => Promise<readonly Output[]>
}

export class Batcher {
  async submit<Input, Output>(
    kind: BatchKind<Input, Output>,
    _keys: readonly string[],
    input: Input,
    _bytes: number
  ): Promise<Output> {
    const [output] = await kind.run([input])
    return output as Output
  }

  async drained(): Promise<void> {}
}
