// Mistakes: each is the exception class that the SDK documents.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { test } from 'node:test'

import { sdk, unique, useClient, useSandbox, useSandboxes } from '../support/sdk.mjs'

const client = useClient()
const create = useSandboxes(client)
const box = useSandbox(client)

test('an unknown sandbox is not found', async () => {
  await assert.rejects(client.get(randomUUID()), sdk.DaytonaNotFoundError)
})

test('a wrong key is an authentication error', async () => {
  const other = new sdk.Daytona({ apiKey: `dtn_${'0'.repeat(64)}` })
  await assert.rejects(other.create(), (error) => {
    assert.ok(error instanceof sdk.DaytonaAuthenticationError, String(error))
    assert.match(error.message, /Invalid credentials/)
    return true
  })
  await other[Symbol.asyncDispose]()
})

test('a taken name is a conflict that names it', async () => {
  const name = unique('taken')
  await create({ name })
  await assert.rejects(create({ name }), (error) => {
    assert.ok(error instanceof sdk.DaytonaConflictError, String(error))
    assert.match(error.message, new RegExp(`${name} already exists`))
    return true
  })
})

test('an unknown snapshot is a bad request', async () => {
  await assert.rejects(create({ snapshot: 'no/such:1' }), sdk.DaytonaBadRequestError)
})

test('pause and fork are unprocessable for this class', async () => {
  await assert.rejects(box().pause(), sdk.DaytonaUnprocessableEntityError)
  await assert.rejects(box().fork(), sdk.DaytonaUnprocessableEntityError)
})

test('work in a stopped sandbox is a bad request', async () => {
  const sandbox = await create()
  await sandbox.stop()
  await assert.rejects(sandbox.process.executeCommand('true'), sdk.DaytonaBadRequestError)
})

test('a missing file is file not found', async () => {
  await assert.rejects(box().fs.downloadFile('/tmp/no/such'), sdk.DaytonaFileNotFoundError)
  await assert.rejects(box().fs.getFileDetails('/tmp/no/such'), sdk.DaytonaFileNotFoundError)
  await assert.rejects(box().fs.listFiles('/tmp/no/such'), sdk.DaytonaFileNotFoundError)
})

test('move onto a file is a conflict', async () => {
  await box().process.executeCommand('touch /tmp/a /tmp/b')
  await assert.rejects(box().fs.moveFiles('/tmp/a', '/tmp/b'), sdk.DaytonaConflictError)
})

test('a port out of range is a bad request', async () => {
  await assert.rejects(box().getPreviewLink(70_000), sdk.DaytonaBadRequestError)
})

test('no server is a connection error', async () => {
  const closed = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => closed.once('listening', resolve))
  const { port } = closed.address()
  await new Promise((resolve) => closed.close(resolve))
  const nobody = new sdk.Daytona({ apiUrl: `http://127.0.0.1:${port}/api`, useDeprecatedPolling: true })
  await assert.rejects(nobody.get('anything'), sdk.DaytonaConnectionError)
})
