import { registerHooks } from 'node:module'

/* Lets a program that imports the package by its name run on the sources: `node --import` this file. */

registerHooks({
  resolve(specifier, context, nextResolve) {
    const entry = /^bodhi-session(?:\/(\w+))?$/.exec(specifier)
    if (!entry) return nextResolve(specifier, context)
    const source = entry[1] === undefined ? 'index' : `frameworks/${entry[1]}`
    return nextResolve(new URL(`../../src/${source}.ts`, import.meta.url).href, context)
  }
})
