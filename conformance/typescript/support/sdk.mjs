// The published package under test, chosen by the environment, and sandboxes that are deleted
// whatever happens. The server is named by DAYTONA_API_URL and DAYTONA_API_KEY.
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { after, before } from 'node:test'

export const packageName = process.env.SEBRING_SDK ?? '@daytona/sdk'
const manifest = new URL(`../node_modules/${packageName}/package.json`, import.meta.url)
export const version = JSON.parse(readFileSync(manifest, 'utf8')).version
export const label = `${packageName} ${version}`

export const sdk = await import(packageName)

// Marks what one file made, so that lists see only their own.
export const runLabel = { 'conformance-run': randomUUID() }

export function unique(prefix) {
  return `${prefix}-${randomUUID().slice(0, 12)}`
}

// A client for the tests of one file, closed after them: an open event socket keeps node alive.
export function useClient() {
  const client = new sdk.Daytona()
  after(() => client[Symbol.asyncDispose]())
  return client
}

// A maker of sandboxes; everything it made is deleted after the tests of the file.
export function useSandboxes(client) {
  const made = []
  after(async () => {
    for (const id of made) {
      const answer = await api('DELETE', `/sandbox/${id}`)
      if (![200, 404].includes(answer.status)) throw new Error(`delete ${id}: ${answer.status}`)
    }
  })
  return async (params = {}) => {
    const labels = { ...runLabel, ...params.labels }
    const sandbox = await client.create({ ...params, labels })
    made.push(sandbox.id)
    return sandbox
  }
}

// One running sandbox for the tests of a file that only look inside: `const box = useSandbox(…)`,
// then `box()` inside a test. `ready` prepares it; hooks of one file do not wait for each other.
export function useSandbox(client, params = {}, ready = async () => {}) {
  const create = useSandboxes(client)
  let sandbox
  before(async () => {
    sandbox = await create(params)
    await ready(sandbox)
  })
  return () => sandbox
}

// The API below the SDK, with the admin key.
export function api(method, path, body) {
  return fetch(process.env.DAYTONA_API_URL + path, {
    method,
    headers: {
      Authorization: `Bearer ${process.env.DAYTONA_API_KEY}`,
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  })
}

export async function gone(client, id) {
  try {
    await client.get(id)
    return false
  } catch (error) {
    if (error instanceof sdk.DaytonaNotFoundError) return true
    throw error
  }
}

export async function collect(iterable) {
  const items = []
  for await (const item of iterable) items.push(item)
  return items
}
