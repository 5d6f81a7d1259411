// Create, find, start, stop, delete: what every program does first.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { gone, sdk, unique, useClient, useSandboxes } from '../support/sdk.mjs'
import { until } from '../support/wait.mjs'

const client = useClient()
const create = useSandboxes(client)

test('create without arguments gives a started sandbox with the documented defaults', async () => {
  const sandbox = await create()
  assert.equal(sandbox.state, 'started')
  assert.match(sandbox.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.equal(sandbox.name, sandbox.id)
  assert.equal(sandbox.user, 'daytona')
  assert.deepEqual([sandbox.cpu, sandbox.gpu, sandbox.memory, sandbox.disk], [1, 0, 1, 3])
  assert.equal(sandbox.public, false)
  assert.equal(sandbox.autoStopInterval, 15)
  assert.equal(sandbox.autoArchiveInterval, 10080)
  assert.equal(sandbox.autoDeleteInterval, -1)
})

test('create keeps every parameter', async () => {
  const name = unique('kept')
  const sandbox = await create({
    name,
    language: 'javascript',
    envVars: { COLOUR: 'teal', QUOTED: `it's "so" $HOME` },
    labels: { purpose: 'everything' },
    public: true,
    autoStopInterval: 7,
    autoArchiveInterval: 60,
    autoDeleteInterval: 90,
    ttlMinutes: 60,
  })
  assert.equal(sandbox.name, name)
  assert.equal(sandbox.labels.purpose, 'everything')
  assert.equal(sandbox.labels['code-toolbox-language'], 'javascript')
  assert.equal(sandbox.public, true)
  assert.deepEqual(
    [sandbox.autoStopInterval, sandbox.autoArchiveInterval, sandbox.autoDeleteInterval],
    [7, 60, 90],
  )
  assert.ok(Date.parse(sandbox.autoDestroyAt) > Date.now() + 50 * 60_000)
  const shown = await sandbox.process.executeCommand('printf "%s|%s" "$COLOUR" "$QUOTED"')
  assert.equal(shown.result, `teal|it's "so" $HOME`)
})

test('get finds by id and by name', async () => {
  const name = unique('findable')
  const sandbox = await create({ name })
  assert.equal((await client.get(sandbox.id)).name, name)
  assert.equal((await client.get(name)).id, sandbox.id)
})

test('stop then start keeps files', async () => {
  const sandbox = await create()
  await sandbox.process.executeCommand('echo kept > ~/kept.txt')
  await sandbox.stop()
  assert.equal(sandbox.state, 'stopped')
  await sandbox.start()
  assert.equal(sandbox.state, 'started')
  assert.equal((await sandbox.process.executeCommand('cat ~/kept.txt')).result.trim(), 'kept')
})

test('a deleted sandbox is gone and its name is free', async () => {
  const name = unique('reused')
  const first = await create({ name })
  await client.delete(first)
  const second = await create({ name })
  assert.notEqual(second.id, first.id)
  await until(() => gone(client, first.id), 'get answers 404')
})

test('delete can wait until destroyed', async () => {
  const sandbox = await create()
  await sandbox.delete(60, true)
  assert.equal(sandbox.state, 'destroyed')
  assert.ok(await gone(client, sandbox.id))
})

test('an ephemeral sandbox is deleted when it stops', async () => {
  const sandbox = await create({ ephemeral: true })
  assert.equal(sandbox.autoDeleteInterval, 0)
  await sandbox.stop()
  await until(() => gone(client, sandbox.id), 'get answers 404')
})

test('refresh shows what another client did', async () => {
  const other = new sdk.Daytona()
  const sandbox = await create()
  await (await other.get(sandbox.id)).stop()
  await sandbox.refreshData()
  assert.equal(sandbox.state, 'stopped')
  await other[Symbol.asyncDispose]()
})

test('waiting for a state that is already reached returns', async () => {
  const sandbox = await create()
  await sandbox.waitUntilStarted(20)
  await sandbox.stop()
  await sandbox.waitUntilStopped(20)
})

test('polling mode waits as well', async () => {
  const polling = new sdk.Daytona({ useDeprecatedPolling: true })
  const sandbox = await polling.create()
  await sandbox.stop()
  await sandbox.start()
  await sandbox.delete(60, true)
  assert.equal(sandbox.state, 'destroyed')
})
