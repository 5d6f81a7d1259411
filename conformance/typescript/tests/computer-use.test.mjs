// A desktop through `computerUse`. The first sandbox from its snapshot waits until that is built.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { api, runLabel, useClient } from '../support/sdk.mjs'
import { visit } from '../support/visit.mjs'
import { until } from '../support/wait.mjs'

const BUILD_SECONDS = 900

const client = useClient()
let box

before(async () => {
  box = await client.create({ snapshot: 'desktop', labels: runLabel }, { timeout: BUILD_SECONDS })
  await box.computerUse.start()
}, { timeout: BUILD_SECONDS * 1000 })

after(async () => {
  if (box) await api('DELETE', `/sandbox/${box.id}`)
})

const bytes = (answer) => Buffer.from(answer.screenshot, 'base64')
const pngSize = (answer) => [bytes(answer).readUInt32BE(16), bytes(answer).readUInt32BE(20)]

test('all of the desktop runs', async () => {
  assert.equal((await box.computerUse.getStatus()).status, 'active')
  const one = await box.computerUse.getProcessStatus('xvfb')
  assert.deepEqual([one.processName, one.running], ['xvfb', true])
  assert.equal(typeof (await box.computerUse.getProcessLogs('x11vnc')).logs, 'string')
  assert.equal(typeof (await box.computerUse.getProcessErrors('x11vnc')).errors, 'string')
  assert.equal((await box.computerUse.restartProcess('novnc')).processName, 'novnc')
})

test('pictures are whole, parts and compressed', async () => {
  const { screenshot } = box.computerUse
  // The same in every field: releases of this SDK hand them to its client in different orders.
  const region = { x: 30, y: 30, width: 30, height: 30 }
  assert.deepEqual(pngSize(await screenshot.takeFullScreen(true)), [1024, 768])
  assert.deepEqual(pngSize(await screenshot.takeRegion(region)), [30, 30])
  assert.deepEqual(pngSize(await screenshot.takeCompressed({ format: 'png', scale: 0.5 })), [512, 384])
  const jpeg = await screenshot.takeCompressedRegion(region, { format: 'jpeg', quality: 60 })
  assert.equal(bytes(jpeg).subarray(0, 3).toString('hex'), 'ffd8ff')
})

test('typed text arrives in a window that the mouse has chosen', async () => {
  const { display, keyboard, mouse } = box.computerUse
  await box.process.executeCommand("xterm -title typed -e 'cat > /tmp/typed' > /dev/null 2>&1 &")
  const shown = await until(async () => {
    const { windows } = await display.getWindows()
    return windows.find((one) => one.title === 'typed')
  }, 'the terminal is there')
  const at = [shown.x + 20, shown.y + 20]
  const clicked = await mouse.click(...at)
  assert.deepEqual([clicked.x, clicked.y], at)
  await keyboard.type('Hello, TypeScript! €')
  await keyboard.press('enter')
  await keyboard.hotkey('ctrl+d')
  await until(async () => {
    const { result } = await box.process.executeCommand('cat /tmp/typed')
    return result === 'Hello, TypeScript! €\n'
  }, 'the text has arrived')
})

test('the mouse moves, drags and scrolls', async () => {
  const { mouse } = box.computerUse
  const moved = await mouse.move(11, 12)
  assert.deepEqual([moved.x, moved.y], [11, 12])
  const dragged = await mouse.drag(20, 700, 40, 720)
  assert.deepEqual([dragged.x, dragged.y], [40, 720])
  assert.equal(await mouse.scroll(40, 720, 'up', 2), true)
  await assert.rejects(mouse.move(-1, 5), /x -1/)
})

test('a film is made and fetched back', async (t) => {
  const films = box.computerUse.recording
  if (!films) return t.skip('this release has no recordings')
  const film = await films.start('from TypeScript')
  const stopped = await films.stop(film.id)
  assert.equal(stopped.status, 'completed')
  assert.ok((await films.list()).recordings.some((one) => one.id === film.id))
  await films.delete(film.id)
})

test('the accessibility tree of everything has a root', async (t) => {
  const tree = box.computerUse.accessibility
  if (!tree) return t.skip('this release has no accessibility')
  const { root, truncated } = await tree.getTree({ scope: 'all', maxDepth: 1 })
  assert.deepEqual([typeof root.id, truncated], ['string', false])
})

test('the desktop is seen through the preview of its port', async () => {
  const link = await box.getPreviewLink(6080)
  const page = await visit(`${link.url}/vnc.html`, { headers: { 'x-daytona-preview-token': link.token } })
  assert.equal(page.status, 200)
  assert.match(page.text, /noVNC/)
})
