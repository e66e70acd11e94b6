import { serveHono } from '../support/adapter-servers.ts'
import { runAdapterContract } from '../support/run-adapter-contract.ts'

runAdapterContract({ name: 'Hono', mergesChanges: true, savesBeforeHeaders: true, serve: serveHono })
