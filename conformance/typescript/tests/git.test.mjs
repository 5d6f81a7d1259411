// Git in a sandbox through the SDK, against a git server in the same sandbox.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'

import { sdk, unique, useClient, useSandbox } from '../support/sdk.mjs'
import { until } from '../support/wait.mjs'

const SERVER = new URL('../../python/support/git_server.py', import.meta.url)
const LOGIN = ['someone', 's3cr3t/w@rd']

let base
const box = useSandbox(useClient(), {}, async (sandbox) => {
  await sandbox.fs.uploadFile(await readFile(SERVER), '/tmp/git_server.py')
  const run = (command) => sandbox.process.executeCommand(command)
  await run('nohup python3 /tmp/git_server.py /tmp > /tmp/git_server.port 2>/tmp/git_server.log &')
  const port = await until(async () => (await run('cat /tmp/git_server.port')).result.trim(), 'the git server names its port')
  base = `http://127.0.0.1:${port}`
})
const git = () => box().git

async function run(command) {
  const answer = await box().process.executeCommand(command)
  assert.equal(answer.exitCode, 0, `${command}: ${answer.result}`)
  return answer.result.trim()
}

// A repository on the server with one commit on `main`.
async function origin() {
  const name = unique('git')
  const folder = `/tmp/${name}`
  await run(
    `git init -q --bare -b main ${folder}/origin.git && git -C ${folder}/origin.git config http.receivepack true` +
      ` && git init -q -b main ${folder}/seed && cd ${folder}/seed && echo hello > README.md && git add . ` +
      ` && git -c user.name=Seed -c user.email=s@example.org commit -q -m first && git push -q ../origin.git main`,
  )
  return { folder, url: `${base}/open/${name}/origin.git`, secret: `${base}/private/${name}/origin.git` }
}

async function commit(path, name, content = 'x\n') {
  await box().fs.uploadFile(Buffer.from(content), `${path}/${name}`)
  await git().add(path, [name])
  return (await git().commit(path, `write ${name}`, 'Ada Löve', 'ada@example.org')).sha
}

const is = (name) => (error) => {
  assert.ok(error instanceof sdk[name], `${name}: ${error.constructor.name}: ${error.message}`)
  return true
}

test('a clone is changed, committed, pushed and pulled', async () => {
  const { folder, url } = await origin()
  const [one, two] = [`${folder}/one`, `${folder}/two`]
  await git().clone(url, one)
  await git().clone(url, two, 'main', undefined, undefined, undefined, undefined, 1)
  const hash = await commit(one, 'new.txt')
  assert.equal((await git().status(one)).ahead, 1)
  await git().push(one)
  await git().pull(two)
  assert.equal(await run(`git -C ${two} rev-parse HEAD`), hash)
  const status = await git().status(one)
  assert.deepEqual(
    [status.currentBranch, status.branchPublished, status.ahead, status.behind, status.fileStatus],
    ['main', true, 0, 0, []],
  )
})

test('status names every file with its two sides', async () => {
  const { folder, url } = await origin()
  await git().clone(url, `${folder}/r`)
  await box().fs.uploadFile(Buffer.from('changed\n'), `${folder}/r/README.md`)
  await box().fs.uploadFile(Buffer.from('x'), `${folder}/r/ünï "q"`)
  assert.deepEqual((await git().status(`${folder}/r`)).fileStatus, [
    { name: 'README.md', extra: '', staging: 'Unmodified', worktree: 'Modified' },
    { name: 'ünï "q"', extra: '', staging: 'Untracked', worktree: 'Untracked' },
  ])
})

test('branches are made, listed, switched and deleted', async () => {
  const path = `/tmp/${unique('git')}`
  await git().init(path, false, 'trunk')
  assert.deepEqual(await git().branches(path), { branches: [], current: 'trunk' })
  await commit(path, 'a')
  await git().createBranch(path, 'topic')
  await git().checkoutBranch(path, 'trunk')
  assert.deepEqual(await git().branches(path), { branches: ['topic', 'trunk'], current: 'trunk' })
  await git().deleteBranch(path, 'topic')
  assert.deepEqual((await git().branches(path)).branches, ['trunk'])
})

test('a login opens a private repository and is kept nowhere', async () => {
  const { folder, secret } = await origin()
  const path = `${folder}/r`
  await assert.rejects(git().clone(secret, path), is('DaytonaGitAuthFailedError'))
  await git().clone(secret, path, undefined, undefined, ...LOGIN)
  await commit(path, 'a')
  await git().push(path, ...LOGIN)
  await git().pull(path, ...LOGIN)
  const found = await box().process.executeCommand(`grep -rlaF ${LOGIN[1]} ${path} $HOME/.git* 2>/dev/null`)
  assert.equal(found.result, '')
})

test('each refusal has its class', async () => {
  const { folder, url } = await origin()
  const path = `${folder}/r`
  await git().clone(url, path)
  await assert.rejects(git().clone(`${base}/open/nowhere.git`, `${path}2`), is('DaytonaGitRepoNotFoundError'))
  await assert.rejects(git().clone('http://127.0.0.1:1/x', `${path}2`), is('DaytonaGitTransportFailedError'))
  await assert.rejects(git().clone(url, `${path}2`, 'nope'), is('DaytonaGitBranchNotFoundError'))
  await assert.rejects(git().checkoutBranch(path, 'nope'), is('DaytonaGitBranchNotFoundError'))
  await assert.rejects(git().createBranch(path, 'main'), is('DaytonaGitBranchExistsError'))
  await assert.rejects(git().status(folder), is('DaytonaGitRepoNotFoundError'))
  await assert.rejects(git().commit(path, 'nothing', 'A', 'a@b'), is('DaytonaConflictError'))
})

test('reset and restore move files between commit, index and working tree', async () => {
  const path = `/tmp/${unique('git')}`
  await git().init(path)
  await commit(path, 'a', '1\n')
  await commit(path, 'a', '2\n')
  await git().reset(path, 'soft', 'HEAD~1')
  assert.equal((await git().status(path)).fileStatus[0].staging, 'Modified')
  await git().restore(path, ['a'], true)
  assert.equal((await git().status(path)).fileStatus[0].worktree, 'Modified')
  await git().restore(path, ['a'])
  assert.deepEqual((await git().status(path)).fileStatus, [])
  await git().reset(path, undefined, undefined, ['a'])
  await git().reset(path, 'hard', 'HEAD')
})

test('remotes and configuration are read back as written', async () => {
  const { folder, url } = await origin()
  const path = `${folder}/r`
  await git().init(path)
  assert.deepEqual((await git().remotes(path)).remotes, [])
  await git().remoteAdd(path, 'origin', url, true)
  await assert.rejects(git().remoteAdd(path, 'origin', url), is('DaytonaConflictError'))
  await git().remoteAdd(path, 'origin', 'https://example.org/x.git', false, true)
  assert.equal(await git().remoteGet(path, 'origin'), 'https://example.org/x.git')
  assert.equal(await git().remoteGet(path, 'absent'), undefined)
  assert.ok(!(await git().getConfig('conformance.key', 'local', path)))
  await git().setConfig('conformance.key', 'välue', 'local', path)
  assert.equal(await git().getConfig('conformance.key', 'local', path), 'välue')
  await git().configureUser('Ada', 'ada@example.org', 'local', path)
  assert.equal(await git().getConfig('user.name', 'local', path), 'Ada')
})

test('stored credentials serve later calls', async () => {
  const { folder, secret } = await origin()
  await git().dangerouslyAuthenticate(...LOGIN, new URL(base).host, 'http')
  try {
    await git().clone(secret, `${folder}/r`)
  } finally {
    await run('rm ~/.git-credentials && git config --global --unset-all credential.helper')
  }
})
