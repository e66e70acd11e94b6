import { COOKIES } from './contract/adapter-cookies.ts'
import { LIFE } from './contract/adapter-life.ts'
import { MERGING, PARALLEL } from './contract/adapter-parallel.ts'
import type { AdapterServer, AdapterSubject, Stage } from './contract/adapter-stage.ts'
import { SAVING, TROUBLE } from './contract/adapter-trouble.ts'
import { Browser } from './contract/browser.ts'
import type { ContractRunner } from './contract/subject.ts'

export type {
  AdapterHandler,
  AdapterServer,
  AdapterSession,
  AdapterSetup,
  AdapterStore,
  AdapterSubject
} from './contract/adapter-stage.ts'

/**
 * What every adapter between a framework and the service must do over HTTP, as tests for any runner: give it vitest's,
 * jest's or node:test's `describe` and `test`, and a subject that serves the framework.
 */
export function adapterContract(runner: ContractRunner, subject: AdapterSubject): void {
  runner.describe(`adapter contract: ${subject.name}`, () => {
    for (const [name, body] of [
      ...COOKIES,
      ...LIFE,
      ...PARALLEL,
      ...TROUBLE,
      ...(subject.mergesChanges ? MERGING : []),
      ...(subject.savesBeforeHeaders ? SAVING : [])
    ]) {
      runner.test(name, () => onStage(subject, body))
    }
  })
}

async function onStage(subject: AdapterSubject, body: (stage: Stage) => Promise<void>): Promise<void> {
  const store = await subject.createStore()
  const servers: AdapterServer[] = []
  try {
    const sessions = await store.connect()
    await body({
      store,
      sessions,
      async serve(handler, cookie = {}) {
        const server = await subject.serve({ sessions, cookie, handler })
        servers.push(server)
        return new Browser(server.origin)
      }
    })
  } finally {
    for (const server of servers) await server.close()
    await store.close()
  }
}
