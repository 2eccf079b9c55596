#!/usr/bin/env node
// A browser that is driven by a script: it follows redirects, keeps cookies, and fills in the provider's forms.
import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

// browse goes to an address and returns the last one, with its page. How it behaves: "approve", "deny", "stop" at the
// program's listener, or "forge" another iss in what the listener hears.
export async function browse(address, how = 'approve') {
  const jar = new Map()
  const cookies = (url) => [...(jar.get(url.host) ?? [])].map(([name, value]) => `${name}=${value}`).join('; ')
  let url = new URL(address)
  let form
  let aborted = false
  for (let step = 0; step < 30; step++) {
    if (url.pathname === '/callback') {
      if (how === 'stop') return { url: url.href, page: '' }
      if (how === 'forge') url.searchParams.set('iss', 'https://evil.example')
    }
    const headers = { cookie: cookies(url) }
    if (form) headers['content-type'] = 'application/x-www-form-urlencoded'
    const res = await fetch(url, { method: form ? 'POST' : 'GET', body: form, headers, redirect: 'manual' })
    form = undefined
    if (!jar.has(url.host)) jar.set(url.host, new Map())
    for (const line of res.headers.getSetCookie()) {
      const [, name, value] = line.match(/^([^=]+)=([^;]*)/)
      if (value) jar.get(url.host).set(name, value)
      else jar.get(url.host).delete(name)
    }
    if (res.status >= 300 && res.status < 400) {
      await res.arrayBuffer()
      url = new URL(res.headers.get('location'), url)
      continue
    }
    const page = await res.text()
    const found = !aborted && page.match(/<form[^>]*action="([^"]+)"[^>]*>([\s\S]*?)<\/form>/)
    if (!found || res.status >= 400) return { url: url.href, page, status: res.status }
    const fields = new URLSearchParams()
    for (const [input] of found[2].matchAll(/<input[^>]*>/g)) {
      const name = input.match(/name="([^"]*)"/)?.[1]
      if (name) fields.set(name, input.match(/value="([^"]*)"/)?.[1] ?? { login: 'ada', password: 'x' }[name] ?? '')
    }
    if (how === 'deny' && (fields.get('prompt') === 'consent' || fields.has('confirm'))) {
      if (fields.has('confirm')) {
        fields.delete('confirm')
        fields.set('abort', 'yes')
        aborted = true
      } else {
        url = new URL(`${found[1]}/abort`, url)
        continue
      }
    }
    url = new URL(found[1], url)
    form = fields.toString()
  }
  throw new Error('the browser goes round in circles')
}

if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await browse(process.argv[2], process.env.RING_BROWSER)
}
