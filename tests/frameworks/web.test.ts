import { serveWeb, serveWebHandle } from '../support/adapter-servers.ts'
import { runAdapterContract } from '../support/run-adapter-contract.ts'

runAdapterContract({
  name: 'load and commit on node:http',
  mergesChanges: true,
  savesBeforeHeaders: true,
  serve: serveWeb
})
runAdapterContract({
  name: 'handle with Request and Response',
  mergesChanges: true,
  savesBeforeHeaders: true,
  serve: serveWebHandle
})
