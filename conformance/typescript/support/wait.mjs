// Waiting on a level, with a bound: the only way a test here may wait.
import { setTimeout as pause } from 'node:timers/promises'

const LOOK_MS = 50

export async function until(look, what, seconds = 10) {
  const deadline = Date.now() + seconds * 1000
  for (;;) {
    const seen = await look()
    if (seen) return seen
    if (Date.now() >= deadline) throw new Error(`not within ${seconds} s: ${what}; last seen: ${seen}`)
    await pause(LOOK_MS)
  }
}
