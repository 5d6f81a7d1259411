// File links that work without a key, made by the SDK and checked by the server.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { useClient, useSandbox } from '../support/sdk.mjs'

const box = useSandbox(useClient())

test('a download link gives the file', async () => {
  await box().fs.uploadFile(Buffer.from('linked'), '/tmp/a b+ü.txt')
  const answer = await fetch(await box().downloadUrl('/tmp/a b+ü.txt'))
  assert.deepEqual([answer.status, await answer.text()], [200, 'linked'])
})

test('an upload link takes a form', async () => {
  const form = new FormData()
  form.set('file', new Blob(['from a form']), 'ignored')
  const answer = await fetch(await box().uploadUrl('/tmp/up.txt'), { method: 'POST', body: form })
  assert.equal(answer.status, 200)
  assert.equal((await box().fs.downloadFile('/tmp/up.txt')).toString(), 'from a form')
})

test('rotation closes older links', async () => {
  const url = await box().downloadUrl('/tmp/up.txt', 0)
  await box().rotateSigningKey()
  assert.equal((await fetch(url)).status, 401)
  assert.equal((await fetch(await box().downloadUrl('/tmp/up.txt'))).status, 200)
})
