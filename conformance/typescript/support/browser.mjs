// Pages in a real browser: the distribution's Chromium, without a window. Whatever a page complains
// of, and wherever else it wants to load from, fails the test that looked at it.
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { after, before } from 'node:test'
import { fileURLToPath } from 'node:url'

import { chromium } from 'playwright-core'

const PROGRAM = '/usr/bin/chromium'
// The tests run as root, whom Chromium refuses its own sandbox; the pages are ours.
const ARGUMENTS = ['--no-sandbox']
export const WINDOW = { width: 900, height: 600 }
const STEP_MS_MAX = 20_000
// Kept for people to look at.
const PICTURES = fileURLToPath(new URL('../../../.cache/conformance/pictures/', import.meta.url))

// A browser for the tests of one file. `const browse = useBrowser()`, then
// `await browse(t, url, async (page) => …)` inside a test; each has cookies of its own.
export function useBrowser() {
  let browser
  before(async () => {
    mkdirSync(PICTURES, { recursive: true })
    browser = await chromium.launch({ executablePath: PROGRAM, args: ARGUMENTS })
  })
  after(() => browser?.close())
  return async (t, url, look, allowed = () => false) => {
    const context = await browser.newContext({ viewport: WINDOW })
    try {
      context.setDefaultTimeout(STEP_MS_MAX)
      const page = await context.newPage()
      const wrong = complaints(page, new URL(url), allowed)
      const answer = await page.goto(url)
      await look(page, answer)
      await picture(page, t.name)
      assert.deepEqual(wrong, [])
    } finally {
      await context.close()
    }
  }
}

export function picture(page, name) {
  return page.screenshot({ path: `${PICTURES}${name.replaceAll(/\W+/g, '-')}.png` })
}

function complaints(page, { host }, allowed) {
  const wrong = []
  const add = (text) => allowed(text) || wrong.push(text)
  const isElsewhere = (address) => !['data:', 'blob:'].includes(address.protocol) && address.host !== host
  const check = (url) => isElsewhere(new URL(url)) && wrong.push(`loads from elsewhere: ${url}`)
  page.on('console', (said) => ['error', 'warning'].includes(said.type()) && add(`${said.text()} ${said.location().url}`))
  page.on('pageerror', (error) => add(String(error)))
  page.on('request', (request) => check(request.url()))
  page.on('websocket', (socket) => check(socket.url()))
  return wrong
}
