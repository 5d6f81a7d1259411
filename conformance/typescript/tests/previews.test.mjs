// A server inside a sandbox, reached from outside.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { useClient, useSandbox } from '../support/sdk.mjs'
import { visit } from '../support/visit.mjs'
import { until } from '../support/wait.mjs'

const box = useSandbox(useClient(), {}, async ({ process }) => {
  await process.executeCommand('mkdir -p /tmp/www && echo served > /tmp/www/index.html')
  await process.executeCommand('cd /tmp/www && python3 -m http.server 8000 > /tmp/log 2>&1 &')
  const answers = async () => (await process.executeCommand('curl -fs http://127.0.0.1:8000/')).exitCode === 0
  await until(answers, 'the server listens')
})

test('the token opens the link', async () => {
  const { url, token } = await box().getPreviewLink(8000)
  assert.match(url, new RegExp(`8000-${box().id}\\.`))
  const answer = await visit(url, { headers: { 'X-Daytona-Preview-Token': token } })
  assert.deepEqual([answer.status, answer.text], [200, 'served\n'])
})

test('a private preview without a token stays closed', async () => {
  const { url } = await box().getPreviewLink(8000)
  assert.ok([307, 401].includes((await visit(url)).status))
})

test('a signed link needs nothing else until it is expired', async () => {
  const { url, token } = await box().getSignedPreviewUrl(8000, 600)
  assert.equal((await visit(url)).text, 'served\n')
  await box().expireSignedPreviewUrl(8000, token)
  assert.ok((await visit(url)).status >= 300)
})
