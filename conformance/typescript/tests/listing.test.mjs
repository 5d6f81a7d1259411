// Lists: by label, by filter, in pages, in order.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { before, test } from 'node:test'

import { collect, useClient, useSandboxes } from '../support/sdk.mjs'

const client = useClient()
const create = useSandboxes(client)
const labels = { family: randomUUID() }
const ids = []

before(async () => {
  for (const number of ['0', '1', '2', '3', '4']) {
    ids.push((await create({ labels: { ...labels, number }, public: number === '1' })).id)
  }
  await (await client.get(ids[4])).stop()
})

async function found(query) {
  return (await collect(client.list({ labels, ...query }))).map((sandbox) => ids.indexOf(sandbox.id))
}

test('a label selects exactly its sandboxes', async () => {
  assert.deepEqual((await found({})).sort(), [0, 1, 2, 3, 4])
  assert.deepEqual(await found({ labels: { ...labels, number: '2' } }), [2])
})

test('pages of two give everything once and in order', async () => {
  assert.deepEqual(await found({ limit: 2, sort: 'createdAt', order: 'asc' }), [0, 1, 2, 3, 4])
  assert.deepEqual(await found({ limit: 2, sort: 'createdAt', order: 'desc' }), [4, 3, 2, 1, 0])
})

test('filters select', async () => {
  assert.deepEqual(await found({ states: ['stopped'] }), [4])
  assert.deepEqual((await found({ states: ['stopped', 'started'] })).sort(), [0, 1, 2, 3, 4])
  assert.deepEqual(await found({ id: ids[3].slice(0, 13) }), [3])
  assert.deepEqual(await found({ isPublic: true }), [1])
  assert.deepEqual(await found({ minCpu: 2 }), [])
  const hour = 3_600_000
  assert.equal((await found({ createdAtAfter: new Date(Date.now() - hour) })).length, 5)
  assert.equal((await found({ createdAtAfter: new Date(Date.now() + hour) })).length, 0)
})

test('a listed sandbox can be used at once', async () => {
  const [first] = await collect(client.list({ labels: { ...labels, number: '0' } }))
  assert.equal((await first.process.executeCommand('echo listed')).result.trim(), 'listed')
})
