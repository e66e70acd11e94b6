/** Something that the person who starts the demo can put right. Its message says how, and no stack is shown. */
export class SetupError extends Error {}

/** Whether the system reported this code, such as `ENOENT`. */
export function isSystemError(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
