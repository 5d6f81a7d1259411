// Code in three languages through `codeRun`.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { sdk, useClient, useSandbox } from '../support/sdk.mjs'

const client = useClient()
const speakers = {
  python: useSandbox(client, { language: 'python' }),
  javascript: useSandbox(client, { language: 'javascript' }),
  typescript: useSandbox(client, { language: 'typescript' }),
}

const HELLO = {
  python: `print('hello', 'python')`,
  javascript: `console.log('hello', 'javascript')`,
  typescript: `const word: string = 'typescript'; console.log('hello', word)`,
}
const FAILING = {
  python: `raise ValueError('on purpose')`,
  javascript: `throw new TypeError('on purpose')`,
  typescript: `const fail = (): never => { throw new RangeError('on purpose') }; fail()`,
}

for (const [language, box] of Object.entries(speakers)) {
  test(`${language} runs`, async () => {
    const answer = await box().process.codeRun(HELLO[language])
    assert.deepEqual([answer.exitCode, answer.result.trim()], [0, `hello ${language}`])
  })

  test(`an exception in ${language} is exit code 1 with its text`, async () => {
    const answer = await box().process.codeRun(FAILING[language])
    assert.equal(answer.exitCode, 1)
    assert.match(answer.result, /on purpose/)
  })
}

test('arguments and environment reach the program', async () => {
  const params = Object.assign(new sdk.CodeRunParams(), { argv: ['first'], env: { GREETING: 'ahoj' } })
  const python = await speakers.python().process.codeRun('import sys, os; print(sys.argv[1], os.environ["GREETING"])', params)
  assert.equal(python.result.trim(), 'first ahoj')
  const node = await speakers.javascript().process.codeRun('console.log(process.argv[2] ?? process.argv[1], process.env.GREETING)', params)
  assert.equal(node.result.trim(), 'first ahoj')
})

test('code over its time limit is a timeout error', async () => {
  await assert.rejects(speakers.python().process.codeRun('while True: pass', undefined, 1), sdk.DaytonaTimeoutError)
})
