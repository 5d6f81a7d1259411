// Port 22222 of a sandbox: a terminal for people.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { WINDOW, picture, useBrowser } from '../support/browser.mjs'
import { useClient, useSandbox } from '../support/sdk.mjs'
import { until } from '../support/wait.mjs'

const PORT = 22222

const browse = useBrowser()
const box = useSandbox(useClient())

const signed = async () => (await box().getSignedPreviewUrl(PORT, 600)).url
const shown = async (page) => (await page.locator('.xterm-rows').innerText()).replaceAll('\u00a0', ' ')
const shows = (page, wanted) =>
  until(async () => wanted.exec(await shown(page)), `the terminal shows ${wanted}`)
const prompt = (page) => shows(page, /:~\$ *$/m)
const terminals = async () => {
  const all = await box().process.listPtySessions()
  return all.map(({ id }) => id).filter((id) => id.startsWith('web-'))
}

async function run(page, command) {
  await page.keyboard.type(command)
  await page.keyboard.press('Enter')
}

// What the shell thinks the size is; the sum tells the answer from the question.
async function size(page, mark) {
  await run(page, `echo $((${mark}+0)): $(stty size)`)
  const [, rows, columns] = await shows(page, new RegExp(`^${mark}: (\\d+) (\\d+)`, 'm'))
  return [Number(rows), Number(columns)]
}

test('what is typed runs and is seen without a click', async (t) => {
  await browse(t, await signed(), async (page) => {
    await prompt(page)
    await run(page, 'echo $((40+2))=$PWD=ü€; printf "\\e[41mred\\e[0m\\n"')
    await shows(page, /^42=\/home\/daytona=ü€\s+red/m)
    await run(page, 'ls --color -la /')
    await shows(page, /workspace/)
  })
})

test('the terminal fills the window, dark to its edges, and grows with it', async (t) => {
  await browse(t, await signed(), async (page) => {
    await prompt(page)
    const before = await size(page, 71)
    await page.setViewportSize({ width: WINDOW.width + 300, height: WINDOW.height + 200 })
    const rows = page.locator('.xterm-rows > div')
    await until(async () => (await rows.count()) > before[0], 'the terminal has more rows')
    const after = await size(page, 72)
    assert.deepEqual([after[0], after[1] > before[1]], [await rows.count(), true])
    const { background, overflow, left } = await page.evaluate(() => {
      const { clientHeight, clientWidth, scrollHeight, scrollWidth } = document.documentElement
      const screen = document.querySelector('.xterm-screen').getBoundingClientRect()
      return {
        background: getComputedStyle(document.body).backgroundColor,
        overflow: [scrollWidth - clientWidth, scrollHeight - clientHeight],
        left: clientHeight - screen.bottom,
      }
    })
    assert.deepEqual([background, overflow], ['rgb(0, 0, 0)', [0, 0]])
    assert.ok(left >= 0 && left < 30, `less than a row and its edge is left: ${left}`)
  })
})

test('a reload begins another shell, and the first one ends', async (t) => {
  await browse(t, await signed(), async (page) => {
    await prompt(page)
    const [first] = await terminals()
    await run(page, 'echo $((80+3))')
    await shows(page, /^83/m)
    await page.reload()
    await prompt(page)
    assert.doesNotMatch(await shown(page), /^83/m)
    await until(async () => {
      const left = await terminals()
      return left.length === 1 && left[0] !== first
    }, 'only the new shell is there')
  })
  await until(async () => (await terminals()).length === 0, 'a closed page leaves no shell')
})

test('the end of the shell is told, and Enter begins another', async (t) => {
  await browse(t, await signed(), async (page) => {
    await prompt(page)
    await run(page, 'exit 3')
    await page.getByText('The shell has ended (3).').waitFor()
    await picture(page, 'a shell that has ended')
    await page.keyboard.press('Enter')
    await page.getByText('The shell has ended (3).').waitFor({ state: 'hidden' })
    await prompt(page)
  })
})

test('the token in the address opens it too', async (t) => {
  const { url, token } = await box().getPreviewLink(PORT)
  await browse(t, `${url}/?DAYTONA_SANDBOX_AUTH_KEY=${token}`, async (page) => {
    await prompt(page)
    await page.goto(url)
    await prompt(page)
  })
})

test('a wrong token shows a page that says what to do', async (t) => {
  const { url } = await box().getPreviewLink(PORT)
  const refused = (text) => text.includes('status of 401')
  await browse(t, `${url}/?DAYTONA_SANDBOX_AUTH_KEY=wrong`, async (page, answer) => {
    assert.equal(answer.status(), 401)
    const said = await page.locator('body').innerText()
    assert.match(said, /^401 Unauthorized\s+This preview is private.*new signed link.*DAYTONA_SANDBOX_AUTH_KEY/s)
  }, refused)
})

test('a sandbox that is stopped meanwhile ends the terminal, and a new one says why', async (t) => {
  const refused = (text) => text.includes('400') || text.includes('409')
  await browse(t, await signed(), async (page) => {
    await prompt(page)
    await box().stop()
    const button = page.getByRole('button', { name: 'New terminal' })
    await button.waitFor()
    await button.click()
    await page.getByText('The sandbox is stopped.').waitFor()
  }, refused)
})
