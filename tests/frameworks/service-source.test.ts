import { expect, test } from 'vitest'
import { serviceSource } from '../../src/frameworks/service-source.ts'
import { BackendUnavailableError, ConfigurationError, DefaultSessionService } from '../../src/index.ts'

test('gives a service at once, and that of a promise at once when it is there', async () => {
  await using sessions = await DefaultSessionService.connect('sqlite::memory:')
  expect(serviceSource(sessions)()).toBe(sessions)
  const source = serviceSource(Promise.resolve(sessions))
  expect(await source()).toBe(sessions)
  expect(source()).toBe(sessions)
})

test('waits for a promise no longer than it is told, and gives the service when it comes later', async () => {
  await using sessions = await DefaultSessionService.connect('sqlite::memory:')
  const { promise, resolve } = Promise.withResolvers<DefaultSessionService>()
  const source = serviceSource(promise, { waitMs: 1 })
  await expect(source()).rejects.toThrow(BackendUnavailableError)
  await expect(source()).rejects.toMatchObject({ status: 503, retryable: true })
  resolve(sessions)
  expect(await source()).toBe(sessions)
})

test('tells every caller why a promise was rejected, each with an error of its own', async () => {
  const reason = new ConfigurationError('an option is wrong')
  const source = serviceSource(Promise.reject(reason))
  const errors = await Promise.all(
    [1, 2].map(async () => source()).map((call) => call.catch((error: unknown) => error))
  )
  for (const error of errors) {
    expect(error).toBeInstanceOf(BackendUnavailableError)
    expect(error).toMatchObject({ cause: reason, message: expect.stringContaining('an option is wrong') })
  }
  expect(errors[0]).not.toBe(errors[1])
})

test.each([undefined, null, 'sqlite:', {}, () => {}])('%s is no service, and says what is', (value) => {
  expect(() => serviceSource(value as never)).toThrow(ConfigurationError)
  expect(() => serviceSource(value as never)).toThrow(
    /needs the DefaultSessionService, or the promise of one/
  )
})

test('a promise of something else is told to whoever asks', async () => {
  const source = serviceSource(Promise.resolve({}) as never)
  await expect(source()).rejects.toThrow(/needs the DefaultSessionService/)
})
