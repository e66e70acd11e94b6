import type { Device } from './devices.ts'
import { type Fragment, type Html, html } from './html.ts'

/** Where this process stands, for the foot of every page. */
export interface DemoNode {
  /** Such as 'Node 1'; undefined: there is only one. */
  readonly name: string | undefined
  /** What the sessions are kept in, such as 'SQLite'. */
  readonly store: string
  /** The address of a page on the other node of a cluster; undefined: there is none. */
  readonly otherNode: string | undefined
}

/** Somebody who is signed in. */
export interface Visitor {
  readonly name: string
  readonly csrfToken: string
}

/** One of a user's sessions, as their account page shows it. */
export interface SignedInDevice {
  readonly id: string
  readonly device: Device
  readonly firstSeen: Date
  readonly lastSeen: Date
  readonly isThis: boolean
}

/** What may have happened before a page is shown. The address carries the key, never the words. */
export const NOTICES = {
  'signed-out': 'You are signed out on this device.',
  everywhere: 'You are signed out everywhere.',
  ended: 'Your session has ended, or was ended from another device.',
  'device-out': 'That device is signed out.',
  'device-gone': 'That device was signed out already.',
  'others-out': 'All other devices are signed out.'
} as const

export type Notice = keyof typeof NOTICES

export function isNotice(value: unknown): value is Notice {
  return typeof value === 'string' && Object.hasOwn(NOTICES, value)
}

export const MAX_NAME_LENGTH = 64

interface SignInForm {
  readonly notice?: Notice | undefined
  /** What is wrong with the name that was sent, and that name. */
  readonly problem?: string | undefined
  readonly name?: string | undefined
}

export function signInPage(node: DemoNode, { notice, problem, name }: SignInForm): Html {
  const complaint = problem !== undefined && html`<p class="problem" id="problem">${problem}</p>`
  const invalid = problem !== undefined && html` aria-invalid="true"`
  return page(
    { title: 'Sign in', node, notice },
    html`
    <h1>Sign in</h1>
    <p class="lead">Any name will do: this is a demo, and it asks for no password.</p>
    <form class="card" method="post" action="/sign-in">
      <label for="name">Your name</label>
      <input id="name" name="name" value="${name ?? ''}" maxlength="${MAX_NAME_LENGTH}" autocomplete="username"
        aria-describedby="${problem === undefined ? 'hint' : 'problem hint'}"${invalid} required autofocus>
      ${complaint}
      <p class="hint" id="hint">Sign in with the same name in a second browser to see both under “Devices”.</p>
      <button class="primary">Sign in</button>
    </form>`
  )
}

export function counterPage(node: DemoNode, visitor: Visitor, count: number): Html {
  return page(
    { title: 'Counter', node, visitor, path: '/' },
    html`
    <h1>Hello, <bdi>${visitor.name}</bdi></h1>
    <p class="lead">This number lives in your session, and in no other.</p>
    <form class="card counter" method="post" action="/count">
      ${csrfField(visitor)}
      <p><output class="count">${count}</output><span class="hint">${count === 1 ? 'press' : 'presses'}</span></p>
      <button class="primary" id="count">Count one more</button>
    </form>
    <p class="hint">Close the browser, or restart the server: it is still there when you come back.</p>`
  )
}

export function accountPage(
  node: DemoNode,
  visitor: Visitor,
  devices: readonly SignedInDevice[],
  options: { readonly notice: Notice | undefined; readonly now: Date }
): Html {
  const others = devices.some(({ isThis }) => !isThis)
  const number = devices.length === 1 ? 'one device' : `${devices.length} devices`
  return page(
    { title: 'Devices', node, visitor, path: '/account', notice: options.notice },
    html`
    <h1>Your devices</h1>
    <p class="lead"><bdi>${visitor.name}</bdi> is signed in on ${number}.</p>
    <ul class="card devices">
      ${devices.map((device) => deviceItem(device, visitor, options.now))}
    </ul>
    <div class="actions">
      ${others && button(visitor, '/account/sign-out-others', html`Sign out all other devices`)}
      ${button(visitor, '/account/sign-out-everywhere', html`Sign out everywhere`, 'danger')}
    </div>`
  )
}

export function problemPage(node: DemoNode, title: string, explanation: string): Html {
  return page(
    { title, node },
    html`
    <h1>${title}</h1>
    <p class="lead">${explanation}</p>
    <p><a href="/">Back to the start</a></p>`
  )
}

function deviceItem(
  { id, device, firstSeen, lastSeen, isThis }: SignedInDevice,
  visitor: Visitor,
  now: Date
): Html {
  const name = `${device.browser} on ${device.system}`
  const label = html`Sign out<span class="unseen"> ${isThis ? 'this device' : name}</span>`
  return html`
      <li>
        <div>
          <h2>${name}${isThis && html` <span class="badge">This device</span>`}</h2>
          <dl>
            <div><dt>First seen</dt><dd>${moment(firstSeen, now)}</dd></div>
            <div><dt>Last seen</dt><dd>${isThis ? 'now' : moment(lastSeen, now)}</dd></div>
          </dl>
        </div>
        ${button(visitor, '/account/sign-out-device', label, '', html`<input type="hidden" name="id" value="${id}">`)}
      </li>`
}

function button(visitor: Visitor, action: string, label: Html, look = '', fields?: Html): Html {
  return html`<form method="post" action="${action}">${csrfField(visitor)}${fields}<button class="${look}">${label}</button></form>`
}

function csrfField({ csrfToken }: Visitor): Html {
  return html`<input type="hidden" name="csrf" value="${csrfToken}">`
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const AGO = new Intl.RelativeTimeFormat('en-GB', { numeric: 'auto' })
const DATE = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' })

/** A time as people say it, and exactly in the tooltip. The database's clock may be a little ahead of this one. */
function moment(time: Date, now: Date): Html {
  return html`<time datetime="${time.toISOString()}" title="${DATE.format(time)}">${ago(now.getTime() - time.getTime())}</time>`
}

function ago(ms: number): string {
  if (ms < MINUTE_MS) return 'just now'
  if (ms < HOUR_MS) return AGO.format(-Math.floor(ms / MINUTE_MS), 'minute')
  if (ms < DAY_MS) return AGO.format(-Math.floor(ms / HOUR_MS), 'hour')
  return AGO.format(-Math.floor(ms / DAY_MS), 'day')
}

interface Frame {
  readonly title: string
  readonly node: DemoNode
  readonly visitor?: Visitor
  /** The page's own address, to mark it in the navigation. */
  readonly path?: string
  readonly notice?: Notice | undefined
}

function page({ title, node, visitor, path, notice }: Frame, content: Fragment): Html {
  const link = (href: string, text: string) =>
    html`<a href="${href}"${href === path && html` aria-current="page"`}>${text}</a>`
  const navigation =
    visitor &&
    html`<nav aria-label="Main">
      ${link('/', 'Counter')}
      ${link('/account', 'Devices')}
      ${button(visitor, '/sign-out', html`Sign out`, 'quiet')}
    </nav>`
  const other =
    node.otherNode !== undefined && html` · <a href="${node.otherNode}">Open on the other node</a>`
  return html`<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>${title} · bodhi-session</title>
  <link rel="icon" href="/icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/style.css">
</head>
<body>
  <header>
    <a class="brand" href="/"><img src="/icon.svg" alt="" width="28" height="28">bodhi-session</a>
    ${navigation}
  </header>
  <main>
    ${notice !== undefined && html`<p class="notice" role="status">${NOTICES[notice]}</p>`}
    ${content}
  </main>
  <footer>${node.name !== undefined && html`${node.name} · `}Sessions in ${node.store}${other}</footer>
</body>
</html>
`
}
