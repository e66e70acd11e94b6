/**
 * `JSON.parse` without its fault in V8 12.8 and later, Node 24 and 26 among them (nodejs/node issue 63785): once any
 * object with the key `"\\"` has been read, a key such as `"\n"` in a similar object is read as that one, since V8
 * compares the escaped text with the key that it expects. One user's session would change another's.
 *
 * Only text with a backslash can be concerned. It is read as usual and written again; where that does not give the same
 * text, it is read by the slow way.
 * @throws SyntaxError where the text is not JSON.
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text)
  if (!text.includes('\\') || JSON.stringify(value) === text) return value
  const keys: string[] = []
  return withKeys(JSON.parse(numberKeys(text, keys)), keys)
}

/** The text with each key replaced by its number. It is known to be valid JSON. */
function numberKeys(text: string, keys: string[]): string {
  let result = ''
  let copied = 0
  for (let start = text.indexOf('"'); start !== -1; ) {
    const end = endOfString(text, start)
    if (isKey(text, end)) {
      const key = text.slice(start, end)
      result += `${text.slice(copied, start)}"k${keys.length}"`
      copied = end
      keys.push(JSON.parse(key) as string) // a JSON string by itself
    }
    start = text.indexOf('"', end)
  }
  return result + text.slice(copied)
}

/** Just behind the closing quote of the string that begins at `start`. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; ; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === '"') return at + 1
  }
}

function isKey(text: string, end: number): boolean {
  let at = end
  while (/[ \t\n\r]/.test(text.charAt(at))) at++
  return text[at] === ':'
}

/** The value with the names in place of the numbers, in the same order. */
function withKeys(value: unknown, keys: string[]): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item) => withKeys(item, keys))
  const object = {}
  for (const [number, item] of Object.entries(value)) {
    // Not an assignment: `__proto__` is a key like any other.
    Object.defineProperty(object, keys[Number(number.slice(1))] ?? number, {
      value: withKeys(item, keys),
      writable: true,
      enumerable: true,
      configurable: true
    })
  }
  return object
}
