export type { GuaranteeScope, SessionGuarantees } from './backends/backend.ts'
export type { DeploymentMode, EnvironmentOptions } from './config/from-env.ts'
export {
  BODHI_DEPLOYMENT,
  BODHI_HOME,
  BODHI_SESSION_DB_URL,
  deploymentMode,
  sessionDbUrl
} from './config/from-env.ts'
export type { PostgresOptions, SessionServiceOptions, SqliteOptions } from './config/options.ts'
export type { SessionErrorCode } from './core/errors.ts'
export {
  BackendError,
  BackendUnavailableError,
  ClosedError,
  ConfigurationError,
  ConflictError,
  DataError,
  SchemaError,
  SessionError
} from './core/errors.ts'
export type { Session, SessionId, SessionInfo, SessionToken } from './core/session.ts'
export { sessionIdOf } from './core/token.ts'
export type { Change, PutOptions, TouchOptions } from './default-session-service.ts'
export { DefaultSessionService } from './default-session-service.ts'
