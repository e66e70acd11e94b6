import { statSync } from 'node:fs'
import { createRequire, registerHooks } from 'node:module'
import { join, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { LoadedModules } from '../claims/entries.ts'

/** Imports one entry of the built package, connects if a URL is given, and prints what was loaded for it. */

const [dist = '', entry = '', url] = process.argv.slice(2)

const loaded = new Set<string>()
registerHooks({
  load(address, context, nextLoad) {
    if (address.startsWith('file:')) loaded.add(fileURLToPath(address))
    return nextLoad(address, context)
  }
})

const module: unknown = await import(pathToFileURL(join(dist, `${entry}.js`)).href)
if (url !== undefined) {
  const { DefaultSessionService } = module as typeof import('../../src/index.ts') // the entry is index
  // Nobody listens at the address of the PostgreSQL: what was loaded by then is all there is.
  const sessions = await DefaultSessionService.connect(url).catch(() => undefined)
  await sessions?.close()
}
// The hooks miss what was required before they were there, and what CommonJS requires by itself on some versions.
for (const path of Object.keys(createRequire(import.meta.url).cache)) loaded.add(path)

let ownModules = 0
let ownBytes = 0
let otherModules = 0
let otherBytes = 0
for (const path of loaded) {
  const { size } = statSync(path)
  if (path.startsWith(dist + sep)) {
    ownModules++
    ownBytes += size
  } else {
    otherModules++
    otherBytes += size
  }
}
const result: LoadedModules = { ownModules, ownBytes, otherModules, otherBytes }
console.log(JSON.stringify(result))
