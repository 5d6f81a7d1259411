// Completions and symbols through `createLspServer`.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { sdk, useClient, useSandbox } from '../support/sdk.mjs'

const client = useClient()
const box = useSandbox(client)

const PYTHON = 'class Greeter:\n    def greet(self): pass\n\nGreeter().\n'
const TYPESCRIPT = 'export class Greeter {\n  greet(): void {}\n}\nnew Greeter().\n'

for (const [language, ending, text, column] of [
  ['python', 'py', PYTHON, 10],
  ['typescript', 'ts', TYPESCRIPT, 14],
  ['javascript', 'js', TYPESCRIPT.replace(': void', ''), 14],
]) {
  test(`a ${language} server completes, finds symbols and stops`, async () => {
    const root = `project-${language}`
    const path = `${root}/main.${ending}`
    await box().fs.createFolder(root, '755')
    await box().fs.uploadFile(Buffer.from(text), path)
    const server = await box().createLspServer(language, root)
    await server.start()
    await server.didOpen(path)

    const completions = await server.completions(path, { line: 3, character: column })
    assert.equal(typeof completions.isIncomplete, 'boolean')
    assert.ok(completions.items.some((item) => item.label.startsWith('greet')), JSON.stringify(completions.items))

    const symbols = await server.documentSymbols(path)
    assert.deepEqual(
      symbols.map((symbol) => symbol.name).filter((name) => /greet/i.test(name)),
      ['Greeter', 'greet'],
    )
    assert.equal(symbols[0].location.uri, `file:///home/daytona/${path}`)
    const found = await server.sandboxSymbols('Greeter')
    assert.ok(found.some((symbol) => symbol.name === 'Greeter'), JSON.stringify(found))

    await server.didClose(path)
    await server.stop()
    await assert.rejects(server.sandboxSymbols('Greeter'), sdk.DaytonaError)
  })
}

test('a server that was not started says so', async () => {
  const server = await box().createLspServer('python', '/tmp')
  await assert.rejects(server.documentSymbols('/tmp/a.py'), /start/)
})
