// Everything that can be changed on a sandbox after it was made.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { useClient, useSandbox, useSandboxes } from '../support/sdk.mjs'

const client = useClient()
const create = useSandboxes(client)
const box = useSandbox(client)

test('labels are replaced as a whole', async () => {
  const labels = { 'code-toolbox-language': 'python', fresh: 'yes' }
  assert.deepEqual(await box().setLabels(labels), labels)
  assert.deepEqual((await client.get(box().id)).labels, labels)
})

test('intervals are stored', async () => {
  await box().setAutostopInterval(30)
  await box().setAutoArchiveInterval(120)
  await box().setAutoDeleteInterval(60)
  const seen = await client.get(box().id)
  assert.deepEqual([seen.autoStopInterval, seen.autoArchiveInterval, seen.autoDeleteInterval], [30, 120, 60])
  await box().setAutostopInterval(0)
  await box().setAutoDeleteInterval(-1)
  const off = await client.get(box().id)
  assert.deepEqual([off.autoStopInterval, off.autoDeleteInterval], [0, -1])
})

test('ttl counts from now and zero turns it off', async () => {
  await box().setTtl(5)
  const at = Date.parse((await client.get(box().id)).autoDestroyAt)
  assert.ok(Math.abs(at - Date.now() - 5 * 60_000) < 30_000)
  await box().setTtl(0)
  assert.ok(!(await client.get(box().id)).autoDestroyAt)
})

test('refreshing activity moves the last activity', async () => {
  const before = (await client.get(box().id)).lastActivityAt
  await box().refreshActivity()
  assert.ok((await client.get(box().id)).lastActivityAt >= before)
})

test('cpu and memory grow while running', async () => {
  const sandbox = await create()
  await sandbox.resize({ cpu: 2, memory: 2 })
  assert.deepEqual([sandbox.state, sandbox.cpu, sandbox.memory], ['started', 2, 2])
  assert.equal((await sandbox.process.executeCommand('nproc')).result.trim(), '2')
})

test('disk grows while stopped', async () => {
  const sandbox = await create()
  await sandbox.stop()
  await sandbox.resize({ disk: 5 })
  assert.equal((await client.get(sandbox.id)).disk, 5)
})

test('blocking the network is shown and can be undone', async () => {
  await box().updateNetworkSettings({ networkBlockAll: true })
  assert.equal((await client.get(box().id)).networkBlockAll, true)
  await box().updateNetworkSettings({ networkBlockAll: false })
  assert.equal((await client.get(box().id)).networkBlockAll, false)
})
