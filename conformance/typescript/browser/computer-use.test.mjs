// Port 6080 of a sandbox with a desktop: its display. The page is noVNC's, from the distribution.
import { after, before, test } from 'node:test'

import { WINDOW, useBrowser } from '../support/browser.mjs'
import { api, runLabel, useClient } from '../support/sdk.mjs'
import { until } from '../support/wait.mjs'

const BUILD_SECONDS = 900
// Nothing of a desktop looks like this by itself.
const COLOUR = [12, 234, 56]

const browse = useBrowser()
const client = useClient()
let box

before(async () => {
  box = await client.create({ snapshot: 'desktop', labels: runLabel }, { timeout: BUILD_SECONDS })
  await box.computerUse.start()
}, { timeout: BUILD_SECONDS * 1000 })

after(async () => {
  if (box) await api('DELETE', `/sandbox/${box.id}`)
})

// How many pixels of the display have the colour, and where the first of them is on the page.
const coloured = (page) =>
  page.evaluate((colour) => {
    const canvas = document.querySelector('canvas')
    if (!canvas?.width) return { count: 0 }
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true })
    copy.drawImage(canvas, 0, 0)
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height)
    const found = []
    for (let at = 0; at < data.length; at += 4) {
      if (colour.every((part, index) => data[at + index] === part)) found.push(at / 4)
    }
    const { left, top, width } = canvas.getBoundingClientRect()
    const scale = width / canvas.width
    const place = (pixel) => [left + (pixel % canvas.width) * scale, top + Math.floor(pixel / canvas.width) * scale]
    return { count: found.length, middle: place(found[Math.floor(found.length / 2)] ?? 0) }
  }, COLOUR)

test('what is drawn is seen in the browser, and what is typed there arrives', async (t) => {
  const { url } = await box.getSignedPreviewUrl(6080, 600)
  // It looks for its version in a file that its package does not have.
  const known = (text) => text.includes('package.json')
  await browse(t, `${url}/vnc.html?autoconnect=1&resize=scale`, async (page) => {
    await page.locator('html.noVNC_connected').waitFor()
    await until(async () => (await page.locator('canvas').count()) === 1, 'there is a display')
    const none = await coloured(page)
    if (none.count) throw new Error('the colour is there before anything has it')
    const options = `-bg 'rgb:0c/ea/38' -fg black -geometry 60x15+100+100`
    await box.process.executeCommand(`xterm ${options} -e 'cat > /tmp/seen' > /dev/null 2>&1 &`)
    const { middle } = await until(async () => {
      const found = await coloured(page)
      return found.count > WINDOW.width * 10 && found
    }, 'the window is seen')
    await page.mouse.click(...middle)
    await page.keyboard.type('by browser')
    await page.keyboard.press('Enter')
    await until(async () => {
      const { result } = await box.process.executeCommand('cat /tmp/seen')
      return result.trim() === 'by browser'
    }, 'the text has arrived')
  }, known)
})
