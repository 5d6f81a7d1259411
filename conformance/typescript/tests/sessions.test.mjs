// Sessions: shells that remember, their commands, input and logs.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { sdk, unique, useClient, useSandbox } from '../support/sdk.mjs'
import { until } from '../support/wait.mjs'

const box = useSandbox(useClient())

async function open() {
  const { process } = box()
  const name = unique('session')
  await process.createSession(name)
  return {
    name,
    run: (command) => process.executeSessionCommand(name, { command }),
    start: async (command, options) =>
      (await process.executeSessionCommand(name, { command, runAsync: true, ...options })).cmdId,
    exitCode: async (command) => (await process.getSessionCommand(name, command)).exitCode,
    logs: (command) => process.getSessionCommandLogs(name, command),
    follow: async (command) => {
      const heard = { out: '', err: '' }
      await process.getSessionCommandLogs(
        name,
        command,
        (chunk) => (heard.out += chunk),
        (chunk) => (heard.err += chunk),
      )
      return heard
    },
    delete: () => process.deleteSession(name),
  }
}

test('directory, variables and functions last', async () => {
  const session = await open()
  await session.run('cd /usr/lib; export A=1; b=2; greet() { echo "hello $1"; }')
  assert.equal((await session.run('pwd; echo $A $b; greet you')).stdout, '/usr/lib\n1 2\nhello you\n')
})

test('streams come apart with the exit code', async () => {
  const session = await open()
  const answer = await session.run(`echo out; echo err >&2; printf 'a\\0b'; (exit 42)`)
  assert.deepEqual([answer.stdout, answer.stderr, answer.exitCode], ['out\na\0b', 'err\n', 42])
  const logs = await session.logs(answer.cmdId)
  assert.deepEqual([logs.stdout, logs.stderr], ['out\na\0b', 'err\n'])
})

test('a prompt without a newline is seen while the command runs, and answered', async () => {
  const session = await open()
  const command = await session.start(`printf 'name? '; read name; echo "hello $name"`)
  await until(async () => (await session.logs(command)).stdout === 'name? ', 'the prompt is there')
  assert.equal(await session.exitCode(command), undefined)
  await box().process.sendSessionCommandInput(session.name, command, 'you')
  await until(async () => (await session.exitCode(command)) === 0, 'it has ended')
  assert.equal((await session.logs(command)).stdout, 'name? you\nhello you\n')
})

test('exit ends the session with its code', async () => {
  const session = await open()
  assert.equal((await session.run('exit 7')).exitCode, 7)
  await assert.rejects(session.run('true'), /ended/)
})

test('following gives all of both streams and ends with the command', async () => {
  const session = await open()
  const command = await session.start('for i in $(seq 2000); do echo $i; echo e$i >&2; done; sleep 0.5; echo end')
  const heard = await session.follow(command)
  const numbers = [...Array(2000).keys()].map((index) => index + 1)
  assert.deepEqual(heard.out.trim().split('\n'), [...numbers.map(String), 'end'])
  assert.deepEqual(heard.err.trim().split('\n'), numbers.map((number) => `e${number}`))
})

test('megabytes are followed complete', async () => {
  const session = await open()
  const { out, err } = await session.follow(await session.start('seq 1 300000'))
  const lines = out.trim().split('\n')
  assert.deepEqual([lines.length, lines.at(-1), err], [300_000, '300000', ''])
})

test('a session is listed with its commands, named once and gone when deleted', async () => {
  const session = await open()
  const { cmdId } = await session.run('echo one')
  const seen = await box().process.getSession(session.name)
  assert.deepEqual(seen.commands, [{ id: cmdId, command: 'echo one', exitCode: 0 }])
  const names = async () => (await box().process.listSessions()).map((each) => each.sessionId)
  assert.ok((await names()).includes(session.name))
  await assert.rejects(box().process.createSession(session.name), sdk.DaytonaConflictError)
  await session.delete()
  assert.ok(!(await names()).includes(session.name))
  await assert.rejects(session.delete(), sdk.DaytonaNotFoundError)
})

test('the entrypoint is a session to look at', async () => {
  assert.equal((await box().process.getEntrypointSession()).sessionId, 'entrypoint')
  assert.equal((await box().process.getEntrypointLogs()).stdout, '')
})
