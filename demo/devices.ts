/** What a person recognises a device by. */
export interface Device {
  readonly browser: string
  readonly system: string
}

// Order matters: most browsers also claim to be the ones below them, and Android also claims to be Linux.
const BROWSERS: readonly (readonly [RegExp, string])[] = [
  [/\b(?:Edg|EdgA|EdgiOS)\//, 'Edge'],
  [/\b(?:OPR|OPiOS)\//, 'Opera'],
  [/\bSamsungBrowser\//, 'Samsung Internet'],
  [/\bVivaldi\//, 'Vivaldi'],
  [/\b(?:Firefox|FxiOS)\//, 'Firefox'],
  [/\b(?:HeadlessChrome|Chromium)\//, 'Chromium'],
  [/\b(?:Chrome|CriOS)\//, 'Chrome'],
  [/\bVersion\/\S+ .*\bSafari\//, 'Safari'],
  [/^curl\//, 'curl']
]

const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/\bWindows\b/, 'Windows'],
  [/\bAndroid\b/, 'Android'],
  [/\biPhone\b/, 'iPhone'],
  [/\biPad\b/, 'iPad'],
  [/\bMac OS X\b/, 'macOS'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bLinux\b/, 'Linux']
]

/** Reads a User-Agent header. It is the client's own word: good enough to recognise a device by, and for nothing else. */
export function deviceOf(userAgent: string | undefined): Device {
  return {
    browser: firstMatch(BROWSERS, userAgent) ?? 'Unknown browser',
    system: firstMatch(SYSTEMS, userAgent) ?? 'unknown system'
  }
}

/** For data that was read back from a session, perhaps one that another program wrote. */
export function isDevice(value: unknown): value is Device {
  return (
    typeof value === 'object' &&
    value !== null &&
    'browser' in value &&
    typeof value.browser === 'string' &&
    'system' in value &&
    typeof value.system === 'string'
  )
}

function firstMatch(table: readonly (readonly [RegExp, string])[], text = ''): string | undefined {
  return table.find(([pattern]) => pattern.test(text))?.[1]
}
