// Writes one JSON line per test for the harness, in the format of the Python suites, and the
// failures for people. Must not: decide what counts as a failure; the exit code is node's.
import { basename } from 'node:path'

import { label } from './support/sdk.mjs'

const DETAIL_MAX = 4000
// A browser is a client of another kind; what made its sandboxes is not what is tested.
const client = process.env.SEBRING_CLIENT ?? label

export default async function* reporter(events) {
  for await (const { type, data } of events) {
    // What a file prints before it breaks is the only explanation of a file that does not load.
    if (type === 'test:stderr') process.stderr.write(data.message)
    if (type !== 'test:pass' && type !== 'test:fail') continue
    // The runner reports each file as a test of its own; only the tests inside count.
    const isFile = data.name.endsWith('.test.mjs')
    if (data.details?.type === 'suite' || (isFile && type === 'test:pass')) continue
    yield JSON.stringify(record(type, data, isFile)) + '\n'
  }
}

function record(type, data, isFile) {
  const skipped = data.skip !== undefined && data.skip !== false
  const error = data.details?.error
  return {
    client,
    area: basename(data.file ?? data.name, '.test.mjs').replaceAll('-', ' '),
    test: isFile ? `${basename(data.name)} runs` : data.name,
    outcome: skipped ? 'skipped' : type === 'test:pass' ? 'passed' : 'failed',
    seconds: Math.round(data.details?.duration_ms ?? 0) / 1000,
    detail: skipped ? String(data.skip) : error ? explain(error).slice(-DETAIL_MAX) : '',
  }
}

function explain(error) {
  const cause = error.cause ?? error
  return String(cause.stack ?? cause.message ?? cause)
}
