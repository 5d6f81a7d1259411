// Python that remembers, through `codeInterpreter`.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { sdk, useClient, useSandbox } from '../support/sdk.mjs'

const client = useClient()
const box = useSandbox(client)
const speak = (code, options) => box().codeInterpreter.runCode(code, options)

test('variables and functions last', async () => {
  await speak('number = 6\ndef times(other): return number * other')
  const answer = await speak('print(times(7))')
  assert.deepEqual([answer.stdout, answer.stderr, answer.error], ['42\n', '', undefined])
})

test('output comes by callbacks in order', async () => {
  const heard = []
  const answer = await speak(`import sys; print('one'); print('two', file=sys.stderr); print('three')`, {
    onStdout: (message) => heard.push(message.output),
    onStderr: (message) => heard.push(message.output),
  })
  assert.deepEqual(heard, ['one\n', 'two\n', 'three\n'])
  assert.deepEqual([answer.stdout, answer.stderr], ['one\nthree\n', 'two\n'])
})

test('an exception has name, value and traceback', async () => {
  const { error } = await speak('1 / 0')
  assert.deepEqual([error.name, error.value], ['ZeroDivisionError', 'division by zero'])
  assert.match(error.traceback, /Traceback/)
})

test('a timeout is a timeout error and the state survives', async () => {
  await speak('kept = 1')
  await assert.rejects(speak('while True: pass', { timeout: 1 }), sdk.DaytonaTimeoutError)
  assert.equal((await speak('print(kept)')).stdout, '1\n')
})

test('variables of the environment are for one call', async () => {
  const code = `import os; print(os.environ.get('GREETING'))`
  assert.equal((await speak(code, { envs: { GREETING: 'ahoj' } })).stdout, 'ahoj\n')
  assert.equal((await speak(code)).stdout, 'None\n')
})

test('a crash is told and the next call works', async () => {
  const { error } = await speak('import os; os._exit(7)')
  assert.match(error.value, /exited with code 7/)
  assert.equal((await speak(`print('again')`)).stdout, 'again\n')
})

test('contexts are isolated, listed and deleted', async () => {
  const context = await box().codeInterpreter.createContext('/tmp')
  await speak('where = 1')
  const answer = await speak(`import os; print(os.getcwd(), 'where' in globals())`, { context })
  assert.equal(answer.stdout, '/tmp False\n')
  const listed = async () => (await box().codeInterpreter.listContexts()).map((each) => each.id)
  assert.ok((await listed()).includes(context.id))
  await box().codeInterpreter.deleteContext(context)
  assert.ok(!(await listed()).includes(context.id))
})
