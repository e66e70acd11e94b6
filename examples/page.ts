const NAME_FIELD = '<input name="name" required aria-label="Name">'

/**
 * The page of the examples: who is signed in, how often the page was seen, and the form that changes it.
 * @param fields What the form for signing in asks for.
 */
export function page(user: string | undefined, views: number, fields = NAME_FIELD): string {
  const form = user
    ? `<p>Signed in as ${escapeHtml(user)}.</p><form method="post" action="/sign-out"><button>Sign out</button></form>`
    : `<form method="post" action="/sign-in">${fields}<button>Sign in</button></form>`
  return `<!doctype html><title>bodhi-session</title><p>Seen ${views} times.</p>${form}`
}

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
