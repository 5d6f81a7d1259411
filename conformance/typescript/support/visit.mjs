// Requests a preview URL without relying on how this machine resolves `*.localhost`.
import http from 'node:http'

export function visit(url, { method = 'GET', headers = {}, body } = {}) {
  const { hostname, port, pathname, search, host } = new URL(url)
  const address = hostname.endsWith('.localhost') ? '127.0.0.1' : hostname
  const options = { host: address, port, method, path: pathname + search, headers: { host, ...headers } }
  return new Promise((resolve, reject) => {
    const request = http.request(options, (answer) => {
      const chunks = []
      answer.on('data', (chunk) => chunks.push(chunk))
      answer.on('end', () => {
        resolve({ status: answer.statusCode, headers: answer.headers, text: Buffer.concat(chunks).toString() })
      })
      answer.on('error', reject)
    })
    request.on('error', reject)
    request.end(body)
  })
}
