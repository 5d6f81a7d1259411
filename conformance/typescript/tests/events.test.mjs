// State changes reach the SDK over the event socket, and a program ends when it is done.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'

import { packageName, sdk, useClient, useSandboxes } from '../support/sdk.mjs'
import { until } from '../support/wait.mjs'

const client = useClient()
const create = useSandboxes(client)

test('an object follows its sandbox without asking', async () => {
  const sandbox = await create()
  const other = new sdk.Daytona()
  const same = await other.get(sandbox.id)
  await same.stop()
  await until(() => sandbox.state === 'stopped', 'the stop arrives as an event', 5)
  await same.start()
  await until(() => sandbox.state === 'started', 'the start arrives as an event', 5)
  await other[Symbol.asyncDispose]()
})

// Without the event socket such a program stays alive for minutes after its last line.
for (const [kind, load] of [
  ['an ES module', `import { Daytona } from '${packageName}';`],
  ['a CommonJS program', `const { Daytona } = require('${packageName}');`],
]) {
  test(`${kind} that never disposes its client still ends`, { timeout: 90_000 }, async () => {
    const program = `${load}
      (async () => {
        const sandbox = await new Daytona().create()
        const answer = await sandbox.process.executeCommand('echo from a program')
        await sandbox.delete()
        console.log(answer.result)
      })()`
    const flags = kind === 'an ES module' ? ['--input-type=module'] : ['--input-type=commonjs']
    const cwd = new URL('..', import.meta.url)
    const child = spawn(process.execPath, [...flags, '--eval', program], { cwd, stdio: ['ignore', 'pipe', 'inherit'] })
    let printed = ''
    child.stdout.on('data', (chunk) => (printed += chunk))
    const [code] = await once(child, 'exit')
    assert.deepEqual([code, printed.trim()], [0, 'from a program'])
  })
}
