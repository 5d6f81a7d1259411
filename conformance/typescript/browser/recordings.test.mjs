// Port 33333 of a sandbox: the recordings of its desktop.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'

import { picture, useBrowser } from '../support/browser.mjs'
import { api, runLabel, useClient } from '../support/sdk.mjs'
import { until } from '../support/wait.mjs'
import { visit } from '../support/visit.mjs'

const BUILD_SECONDS = 900
const PORT = 33333

const browse = useBrowser()
const client = useClient()
let box

before(async () => {
  box = await client.create({ snapshot: 'desktop', public: true, labels: runLabel }, { timeout: BUILD_SECONDS })
  await box.computerUse.start()
}, { timeout: BUILD_SECONDS * 1000 })

after(async () => {
  if (box) await api('DELETE', `/sandbox/${box.id}`)
})

const signed = async () => (await box.getSignedPreviewUrl(PORT, 600)).url
const row = (page, name) => page.getByRole('row').filter({ hasText: name })
const video = (page, work) => page.locator('video').evaluate(work)

// A film of a little more than a second in which something moves.
async function film(label) {
  const { mouse, recording } = box.computerUse
  const { id } = await recording.start(label)
  const began = Date.now()
  for (let x = 100; Date.now() - began < 1200; x = (x + 40) % 1000) await mouse.move(x, 300)
  return recording.stop(id)
}

test('the page is never public, and says so when there is nothing', async (t) => {
  const { url } = await box.getPreviewLink(PORT)
  for (const path of ['/', '/api/recordings', '/videos/x.mp4']) {
    assert.equal((await visit(url + path)).status, 401, path)
  }
  await browse(t, await signed(), (page) => page.getByText('No recordings yet.').waitFor())
})

test('a recording is listed, played from anywhere in it and downloaded', async (t) => {
  const made = await film('first')
  await browse(t, await signed(), async (page) => {
    const ranges = []
    page.on('response', (answer) => answer.url().includes('/videos/') && ranges.push(answer.status()))
    const line = row(page, 'first')
    await line.waitFor()
    assert.match(await line.innerText(), /0:0\d\s+[\d.]+ [KM]iB/)
    await line.getByRole('button', { name: 'Play' }).click()
    await until(() => video(page, (film) => film.currentTime > 0.2), 'the video plays')
    assert.deepEqual(await video(page, (film) => [film.videoWidth, film.videoHeight]), [1024, 768])
    await video(page, (film) => { film.currentTime = film.duration - 0.3 })
    await until(() => video(page, (film) => film.ended), 'it plays to its end from there')
    assert.ok(ranges.length > 0 && ranges.every((status) => status === 206), String(ranges))
    await picture(page, 'a recording is played')
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      line.getByRole('link', { name: 'Download' }).click(),
    ])
    assert.equal(download.suggestedFilename(), made.fileName)
    assert.equal(readFileSync(await download.path()).length, made.sizeBytes)
    await page.getByRole('button', { name: 'Close' }).click()
    await page.locator('video').waitFor({ state: 'hidden' })
  })
})

test('a part of a video is answered as a part', async () => {
  const [{ fileName, sizeBytes }] = (await box.computerUse.recording.list()).recordings
  const { url } = await box.getSignedPreviewUrl(PORT, 600)
  const path = `${url}/videos/${encodeURIComponent(fileName)}`
  const part = await visit(path, { headers: { Range: 'bytes=4-7' } })
  assert.deepEqual(
    [part.status, part.text, part.headers['content-range'], part.headers['content-type']],
    [206, 'ftyp', `bytes 4-7/${sizeBytes}`, 'video/mp4'],
  )
})

test('recordings are deleted when that is confirmed, but not one under way', async (t) => {
  await film('second')
  const running = await box.computerUse.recording.start('third')
  await browse(t, await signed(), async (page) => {
    await row(page, 'third').getByText('being recorded').waitFor()
    assert.ok(await row(page, 'third').getByRole('checkbox').isDisabled())
    const button = page.getByRole('button', { name: /^Delete/ })
    assert.ok(await button.isDisabled())
    await row(page, 'second').getByRole('checkbox').check()
    await picture(page, 'recordings of which one is chosen')
    page.once('dialog', (dialog) => dialog.dismiss())
    await button.click()
    assert.ok(await row(page, 'second').isVisible())
    page.once('dialog', (dialog) => dialog.accept())
    await button.click()
    await row(page, 'second').waitFor({ state: 'detached' })
    await row(page, 'first').waitFor()

    const { origin } = new URL(page.url())
    const said = await page.evaluate(async ([url, ids]) => {
      const answer = await fetch(url, { method: 'DELETE', body: JSON.stringify({ ids }) })
      return answer.json()
    }, [`${origin}/api/recordings`, [running.id, 'unknown']])
    assert.deepEqual([said.deleted, said.failed.toSorted()], [[], [running.id, 'unknown'].toSorted()])
    assert.match(said.reasons[running.id], /stop it first/)
  })
  await box.computerUse.recording.stop(running.id)
  const left = (await box.computerUse.recording.list()).recordings
  assert.deepEqual(left.map(({ fileName }) => fileName.slice(37, 42)), ['first', 'third'])
})

test('a name that somebody put there is text, and what cannot be played is said', async (t) => {
  const label = '<img src=x onerror=alert(1)> %2F&lt;'
  const name = `11111111-2222-4333-8444-555555555555_${label}_20261121_101112.mp4`
  await box.fs.uploadFile(Buffer.from('no film'), `/home/daytona/.daytona/recordings/${name}`)
  await browse(t, await signed(), async (page) => {
    const line = row(page, label)
    await line.getByText('cannot be played').waitFor()
    assert.equal(await page.locator('img').count(), 0)
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      line.getByRole('link', { name: 'Download' }).click(),
    ])
    assert.equal(readFileSync(await download.path(), 'utf8'), 'no film')
    await line.getByRole('checkbox').check()
    page.once('dialog', (dialog) => dialog.accept())
    await page.getByRole('button', { name: 'Delete 1' }).click()
    await line.waitFor({ state: 'detached' })
  })
})

test('a sandbox that is stopped meanwhile says so on the page', async (t) => {
  const refused = (text) => text.includes('status of 400')
  await browse(t, await signed(), async (page) => {
    await row(page, 'first').waitFor()
    await box.stop()
    await page.getByRole('button', { name: 'Reload' }).click()
    await page.getByText('the sandbox is stopped').waitFor()
  }, refused)
})
