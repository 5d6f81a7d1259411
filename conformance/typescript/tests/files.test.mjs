// The file system of a sandbox through the SDK.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import { sdk, unique, useClient, useSandbox } from '../support/sdk.mjs'

const box = useSandbox(useClient())
const run = (command) => box().process.executeCommand(command)
const fresh = async () => {
  const folder = `/tmp/${unique('folder')}`
  await box().fs.createFolder(folder, '755')
  return folder
}
let local
before(async () => {
  local = await mkdtemp(join(tmpdir(), 'conformance-'))
})
after(() => rm(local, { recursive: true }))

const NAMES = ['plain.txt', 'with space.txt', 'ünï-🐢.txt', `it's "quoted".txt`, '100%+&=#?.txt']
for (const name of NAMES) {
  test(`a file named ${name} goes up and down`, async () => {
    const folder = await fresh()
    const content = Buffer.from(`${name}\r\n--boundary--\r\n\0\xff`, 'latin1')
    await box().fs.uploadFile(content, `${folder}/${name}`)
    assert.deepEqual(await box().fs.downloadFile(`${folder}/${name}`), content)
    assert.deepEqual((await box().fs.listFiles(folder)).map((entry) => entry.name), [name])
  })
}

test('an empty file survives', async () => {
  const folder = await fresh()
  await box().fs.uploadFile(Buffer.alloc(0), `${folder}/empty`)
  assert.equal((await box().fs.downloadFile(`${folder}/empty`)).length, 0)
})

test('several files go up and down in one call', async () => {
  const folder = await fresh()
  await writeFile(join(local, 'up'), 'disk'.repeat(1000))
  await box().fs.uploadFiles([
    { source: Buffer.from('one'), destination: `${folder}/one` },
    { source: join(local, 'up'), destination: `${folder}/sub/two` },
  ])
  const [one, two, missing] = await box().fs.downloadFiles([
    { source: `${folder}/one` },
    { source: `${folder}/sub/two`, destination: join(local, 'down') },
    { source: `${folder}/missing` },
  ])
  assert.equal(one.result.toString(), 'one')
  assert.ok(!two.error)
  assert.equal(await readFile(join(local, 'down'), 'utf8'), 'disk'.repeat(1000))
  assert.ok(missing.error)
  assert.equal(missing.errorDetails.statusCode, 404)
})

test('tens of megabytes stream both ways with progress', async () => {
  const folder = await fresh()
  const content = Buffer.alloc(32 * 1024 * 1024, 'stream')
  let sent = 0
  let received
  await box().fs.uploadFileStream(content, `${folder}/large`, { onProgress: ({ bytesSent }) => (sent = bytesSent) })
  const stream = await box().fs.downloadFileStream(`${folder}/large`, { onProgress: (now) => (received = now) })
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk)
  assert.ok(Buffer.concat(chunks).equals(content))
  assert.equal(sent, content.length)
  assert.deepEqual([received.bytesReceived, received.totalBytes], [content.length, content.length])
})

test('details and permissions', async () => {
  const folder = await fresh()
  await run(`printf 12345 > ${folder}/file`)
  await box().fs.setFilePermissions(`${folder}/file`, { mode: '640', owner: 'daytona', group: 'daytona' })
  const details = await box().fs.getFileDetails(`${folder}/file`)
  assert.deepEqual([details.name, details.size, details.isDir], ['file', 5, false])
  assert.deepEqual([details.mode, details.permissions], ['-rw-r-----', '0640'])
})

test('list goes as deep as asked', async () => {
  const folder = await fresh()
  await run(`cd ${folder} && mkdir -p a/b && touch a/1 a/b/2`)
  const paths = async (depth) => (await box().fs.listFiles(folder, { depth })).map((entry) => entry.path).sort()
  assert.deepEqual(await paths(1), [`${folder}/a`])
  assert.deepEqual(await paths(3), ['a', 'a/1', 'a/b', 'a/b/2'].map((name) => `${folder}/${name}`))
})

test('move, delete, search, find and replace', async () => {
  const folder = await fresh()
  await run(`mkdir -p ${folder}/p/q && echo 'one needle' > ${folder}/p/q/a.txt`)
  await box().fs.moveFiles(`${folder}/p`, `${folder}/moved`)
  const file = `${folder}/moved/q/a.txt`
  assert.deepEqual((await box().fs.searchFiles(folder, '*.txt')).files, [file])
  assert.deepEqual(await box().fs.findFiles(folder, 'needle'), [{ file, line: 1, content: 'one needle' }])
  const [good, bad] = await box().fs.replaceInFiles([file, `${folder}/none`], 'needle', 'thread')
  assert.deepEqual([good.success, bad.success], [true, false])
  assert.equal((await box().fs.downloadFile(file)).toString(), 'one thread\n')
  await assert.rejects(box().fs.deleteFile(`${folder}/moved`), sdk.DaytonaBadRequestError)
  await box().fs.deleteFile(`${folder}/moved`, true)
  assert.deepEqual(await box().fs.listFiles(folder), [])
})

test('directories of the user are known', async () => {
  assert.equal(await box().getUserHomeDir(), '/home/daytona')
  assert.equal(await box().getWorkDir(), '/home/daytona')
})
