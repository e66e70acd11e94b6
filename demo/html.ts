/** What may stand between the pieces of a template. `false` and `undefined` leave nothing behind. */
export type Fragment = Html | string | number | false | undefined | readonly Fragment[]

/** Text that is HTML already. Only {@link html} makes it, so all that came from outside has been escaped. */
export class Html {
  readonly #source: string

  constructor(source: string) {
    this.#source = source
  }

  toString(): string {
    return this.#source
  }
}

/** Builds HTML. Every value is escaped, for text and for quoted attributes alike, unless it is HTML itself. */
export function html(pieces: TemplateStringsArray, ...values: readonly Fragment[]): Html {
  return new Html(String.raw({ raw: pieces }, ...values.map(render)))
}

function render(value: Fragment): string {
  if (value === false || value === undefined) return ''
  if (value instanceof Html) return value.toString()
  if (typeof value === 'object') return value.map(render).join('')
  return String(value).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
