// Commands: output, exit codes, environment, time limits.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { sdk, useClient, useSandbox } from '../support/sdk.mjs'

const box = useSandbox(useClient(), { envVars: { WHO: 'sandbox' } })
const run = (...args) => box().process.executeCommand(...args)

test('output and exit code are the command’s', async () => {
  const answer = await run('echo out; echo err >&2; exit 42')
  assert.deepEqual([answer.exitCode, answer.result], [42, 'out\nerr\n'])
  assert.equal(answer.artifacts.stdout, answer.result)
})

test('an unknown command is 127', async () => {
  assert.equal((await run('no-such-command-here')).exitCode, 127)
})

test('a working directory and an environment can be given', async () => {
  const answer = await run('pwd; echo "$WHO $MORE"', '/usr/lib', { WHO: 'call', MORE: `a 'b' "c"` })
  assert.equal(answer.result, `/usr/lib\ncall a 'b' "c"\n`)
  assert.equal((await run('echo $WHO')).result.trim(), 'sandbox')
})

test('a command over its time limit is a timeout error and is killed', async () => {
  const began = Date.now()
  await assert.rejects(run('sleep 7654', undefined, undefined, 1), (error) => {
    assert.ok(error instanceof sdk.DaytonaProcessExecutionTimeoutError, String(error))
    assert.ok(error instanceof sdk.DaytonaTimeoutError)
    return true
  })
  assert.ok(Date.now() - began < 6000)
  assert.notEqual((await run("pgrep -f 'sleep 765[4]'")).exitCode, 0)
})

test('a redirected background process does not hold the answer', async () => {
  const began = Date.now()
  await run('sleep 100 > /dev/null 2>&1 &')
  assert.ok(Date.now() - began < 10_000)
})

test('megabytes of output arrive complete', async () => {
  const lines = (await run('seq 1 300000')).result.trim().split('\n')
  assert.deepEqual([lines.length, lines.at(-1)], [300_000, '300000'])
})

test('many commands run at the same time', async () => {
  const began = Date.now()
  const numbers = [...Array(16).keys()]
  const answers = await Promise.all(numbers.map((number) => run(`sleep 0.3; echo ${number}`)))
  assert.deepEqual(answers.map((answer) => Number(answer.result)), numbers)
  assert.ok(Date.now() - began < 16 * 300)
})

test('unicode and quotes arrive untouched', async () => {
  assert.equal((await run(`printf '%s' 'żółw 🐢 "x" \\ $HOME'`)).result, 'żółw 🐢 "x" \\ $HOME')
})
