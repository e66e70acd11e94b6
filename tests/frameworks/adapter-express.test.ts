import { serveExpress } from '../support/adapter-servers.ts'
import { runAdapterContract } from '../support/run-adapter-contract.ts'

runAdapterContract({ name: 'Express', mergesChanges: false, savesBeforeHeaders: false, serve: serveExpress })
