import { serveKoa } from '../support/adapter-servers.ts'
import { runAdapterContract } from '../support/run-adapter-contract.ts'

runAdapterContract({ name: 'Koa', mergesChanges: false, savesBeforeHeaders: true, serve: serveKoa })
