/** What every error of this library says about itself; `code` tells the kinds apart. */
export type SessionErrorCode =
  | 'SESSION_CONFIGURATION'
  | 'SESSION_BACKEND_UNAVAILABLE'
  | 'SESSION_BACKEND'
  | 'SESSION_SCHEMA'
  | 'SESSION_DATA'
  | 'SESSION_CONFLICT'
  | 'SESSION_CLOSED'

/**
 * The base class of all errors that this library throws on purpose. `status` and `statusCode` are what HTTP frameworks
 * answer with; `cause` is the driver's own error where there is one. No message holds a token, a password or a key.
 */
export abstract class SessionError extends Error {
  /** The class's own name, written out: a bundler may have renamed the class. */
  abstract override readonly name: string
  abstract readonly code: SessionErrorCode
  /** Whether the same call may succeed later, unchanged. A write that failed so may have happened all the same. */
  readonly retryable: boolean = false
  readonly status: number = 500

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
  }

  get statusCode(): number {
    return this.status
  }
}

/** An environment variable, a URL, an option or an argument is wrong. The message says which, and what is allowed. */
export class ConfigurationError extends SessionError {
  override readonly name = 'ConfigurationError'
  readonly code = 'SESSION_CONFIGURATION'
}

/** The store did not answer: cannot connect, connection lost, time-out, queue full. A write may have happened. */
export class BackendUnavailableError extends SessionError {
  override readonly name = 'BackendUnavailableError'
  readonly code = 'SESSION_BACKEND_UNAVAILABLE'
  override readonly retryable = true
  override readonly status = 503
}

/** The database answered, and refused: full disk, missing rights, … */
export class BackendError extends SessionError {
  override readonly name = 'BackendError'
  readonly code = 'SESSION_BACKEND'
}

/** The database's schema is newer than this library, not ours, corrupt or not migrated. */
export class SchemaError extends SessionError {
  override readonly name = 'SchemaError'
  readonly code = 'SESSION_SCHEMA'
}

/** Data that cannot be serialised, is too large, or cannot be decoded. */
export class DataError extends SessionError {
  override readonly name = 'DataError'
  readonly code = 'SESSION_DATA'
}

/** `update` lost too many races against other writers of the same session. */
export class ConflictError extends SessionError {
  override readonly name = 'ConflictError'
  readonly code = 'SESSION_CONFLICT'
}

/** The service is closed. */
export class ClosedError extends SessionError {
  override readonly name = 'ClosedError'
  readonly code = 'SESSION_CLOSED'
}
