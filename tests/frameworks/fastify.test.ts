import { serveFastify } from '../support/adapter-servers.ts'
import { runAdapterContract } from '../support/run-adapter-contract.ts'

runAdapterContract({ name: 'Fastify', mergesChanges: false, savesBeforeHeaders: true, serve: serveFastify })
