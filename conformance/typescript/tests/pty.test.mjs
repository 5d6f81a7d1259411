// Terminals: what a person at one would expect, over connections that come and go.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { sdk, unique, useClient, useSandbox } from '../support/sdk.mjs'
import { until } from '../support/wait.mjs'

const box = useSandbox(useClient())

// Collects what a terminal shows.
async function show(opened) {
  const chunks = []
  const handle = await opened((data) => chunks.push(Buffer.from(data)))
  const shown = () => Buffer.concat(chunks).toString()
  const untilShown = (text) => until(() => shown().includes(text), `the terminal shows ${text}`)
  return { handle, shown, untilShown, type: (text) => handle.sendInput(text) }
}

const create = (options = {}) => show((onData) => box().process.createPty({ id: unique('pty'), ...options, onData }))

test('what is typed is answered and the end is told with its code', async () => {
  const terminal = await create()
  await terminal.type('echo sum $((40 + 2))\n')
  await terminal.untilShown('sum 42\r\n')
  await terminal.type('exit 3\n')
  assert.equal((await terminal.handle.wait()).exitCode, 3)
})

test('directory, environment and size are those asked for', async () => {
  const terminal = await create({ cwd: '/usr/lib', envs: { WHO: `it's "me"` }, cols: 111, rows: 30 })
  await terminal.type('pwd; echo "[$WHO]"; stty size\n')
  await terminal.untilShown('/usr/lib\r\n')
  await terminal.untilShown(`[it's "me"]\r\n`)
  await terminal.untilShown('30 111\r\n')
})

test('a resize is seen by the program and in the answer', async () => {
  const terminal = await create()
  await terminal.type(`trap 'stty size' WINCH; echo re''ady\n`)
  await terminal.untilShown('ready\r\n')
  const info = await terminal.handle.resize(123, 44)
  assert.deepEqual([info.cols, info.rows], [123, 44])
  await terminal.untilShown('44 123\r\n')
})

test('killing is told as 137', async () => {
  const terminal = await create()
  await terminal.handle.kill()
  assert.equal((await terminal.handle.wait()).exitCode, 137)
})

test('a terminal outlives its connection and shows what was missed', async () => {
  const id = unique('pty')
  const first = await create({ id })
  await first.type(`kept=here; sleep 0.5; echo mis''sed\n`)
  await first.handle.disconnect()
  const second = await show((onData) => box().process.connectPty(id, { onData }))
  await second.untilShown('missed\r\n')
  await second.type('echo $kept a""gain\n')
  await second.untilShown('here again\r\n')
})

test('a flood arrives complete and before the end', async () => {
  const terminal = await create()
  await terminal.type(`echo be''gun; seq 1 50000; echo en''ded; exit\n`)
  assert.equal((await terminal.handle.wait()).exitCode, 0)
  const flood = terminal.shown().split('begun\r\n')[1].split('ended\r\n')[0]
  assert.equal(flood, [...Array(50_000).keys()].map((index) => `${index + 1}\r\n`).join(''))
})

test('terminals are listed, described, resized and named once', async () => {
  const id = unique('pty')
  await create({ id, cwd: '/tmp', cols: 99, rows: 31 })
  const info = await box().process.getPtySessionInfo(id)
  assert.deepEqual([info.id, info.cwd, info.cols, info.rows, info.active], [id, '/tmp', 99, 31, true])
  assert.ok((await box().process.listPtySessions()).some((each) => each.id === id))
  await assert.rejects(create({ id }))
  await box().process.killPtySession(id)
  await assert.rejects(box().process.getPtySessionInfo(id), sdk.DaytonaNotFoundError)
})
