import { join } from 'node:path'
import { build } from 'tsup'
import config from '../../tsup.config.ts'

/** Builds the package as it is published, its types left out, into a folder of the bench's own; gives that folder. */
export async function buildPackage(root: string): Promise<string> {
  if (typeof config === 'function' || Array.isArray(config)) throw new Error('tsup.config.ts has changed')
  const outDir = join(root, '.tmp', 'bench-dist')
  const { entry } = config
  if (entry === undefined || Array.isArray(entry)) throw new Error('tsup.config.ts names its entries no more')
  const sources = Object.entries(entry).map(([name, file]) => [name, join(root, file)])
  await build({
    ...config,
    entry: Object.fromEntries(sources),
    outDir,
    dts: false,
    config: false,
    silent: true
  })
  return outDir
}
