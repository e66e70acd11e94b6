let hasWarned = false

/**
 * Tells the operator, once per process, that a framework keeps back a `Secure` cookie because it takes the connection
 * for plain HTTP. Most often TLS ends at a proxy that the framework was not told to trust; nobody can sign in then,
 * and nothing says why.
 *
 * @param cure How the framework is told to trust its proxy.
 */
export function warnOfInsecureRequest(framework: string, cure: string): void {
  if (hasWarned) return
  hasWarned = true
  process.emitWarning(
    `${framework} sent no session cookie: the cookie is Secure, and the request did not arrive over HTTPS. Behind a ` +
      `proxy that ends TLS, ${cure}. On plain HTTP in development, set secure: false.`,
    { code: 'BODHI_SESSION_INSECURE_REQUEST' }
  )
}
