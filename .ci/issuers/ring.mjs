// What the program does before an authorization server that is not ours. HELPER names the program; the provider's log says what
// was asked. Each test has a home and an issuer of its own.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { describe, it } from 'node:test'
import { browse } from './browser.mjs'
import { answer, auto, late, provide } from './provider.mjs'

const helper = process.env.HELPER
const browser = join(import.meta.dirname, 'browser.mjs')

// world is a home with the program set up for an issuer.
async function world(t, options = {}, lines = '') {
  const op = await provide(options)
  const home = mkdtempSync(join(tmpdir(), 'issuers-'))
  t.after(() => {
    op.close()
    rmSync(home, { recursive: true, force: true })
  })
  const config = join(home, 'config.toml')
  writeFileSync(config, `[profiles.acme]\nissuer = "${op.issuer}"\nclient_id = "helper"\nhosts = ["git.acme.dev"]\n${lines}\n`)
  chmodSync(config, 0o600)
  const env = {
    HOME: home,
    XDG_RUNTIME_DIR: '',
    PATH: process.env.PATH,
    CLERK_HELPER_CONFIG: config,
    CLERK_HELPER_STORE: 'file',
    BROWSER: browser,
    LANG: 'C.UTF-8',
  }
  const w = { op, home, env }
  // run calls the program; it returns status, standard output, and what it said.
  w.run = (args, { more = {}, stdin = '', heard } = {}) =>
    new Promise((done, fail) => {
      const [program, ...rest] = typeof args === 'string' ? [helper, ...args.split(' ')] : args
      const child = spawn(program, rest, { env: { ...env, ...more } })
      let out = ''
      let words = ''
      child.stdout.on('data', (chunk) => heard?.((out += chunk), child.stdin))
      child.stderr.on('data', (chunk) => heard?.((words += chunk), child.stdin))
      if (!heard) {
        child.stdout.on('data', (chunk) => (out += chunk))
        child.stderr.on('data', (chunk) => (words += chunk))
        child.stdin.end(stdin)
      }
      child.on('error', fail)
      child.on('close', (status) => done({ status, out: out.trim(), words }))
    })
  w.login = async (more) => {
    const got = await w.run('login', { more })
    assert.equal(got.status, 0, got.words)
    return w.session()
  }
  w.file = () => {
    const folder = join(home, '.local/state/clerk-credential-helper')
    const name = readdirSync(folder).find((name) => name.startsWith('session-') && name.endsWith('.json'))
    return join(folder, name)
  }
  w.session = () => JSON.parse(readFileSync(w.file(), 'utf8'))
  // age lets the token end.
  w.age = () => {
    const s = w.session()
    const earlier = (at) => new Date(Date.parse(at) - 25 * 3600e3).toISOString()
    writeFileSync(w.file(), JSON.stringify({ ...s, received_at: earlier(s.received_at), expires_at: earlier(s.expires_at) }))
    return s
  }
  // present sends a refresh token past the program.
  w.present = async (token) => {
    const body = new URLSearchParams({ grant_type: 'refresh_token', client_id: 'helper', refresh_token: token })
    const res = await fetch(`${op.issuer}/token`, { method: 'POST', body })
    return (await res.json()).error ?? 'good'
  }
  return w
}

const claims = (token) => token.split('.').slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url')))
const rings = []
const ring = (name, f, skip = false) => rings.push([name, { timeout: 100_000, skip }, f])

ring('browser: a JWT access token, then 20 processes and one refresh', async (t) => {
  const w = await world(t)
  const s = await w.login()
  const [header, payload] = claims(s.access_token)
  assert.equal(header.typ, 'at+jwt')
  assert.equal(payload.client_id, 'helper')
  assert.equal(s.email, 'ada@acme.dev')
  w.age()
  const all = await Promise.all(Array.from({ length: 20 }, () => w.run('token')))
  assert.deepEqual(new Set(all.map((got) => got.status)), new Set([0]), all[0].words)
  assert.deepEqual(new Set(all.map((got) => got.out)), new Set([w.session().access_token]))
  assert.equal(w.op.count('refresh_token.consumed'), 1)
  assert.notEqual(w.session().refresh_token, s.refresh_token)
})

ring('opaque tokens', async (t) => {
  const w = await world(t, { opaque: true })
  const s = await w.login()
  assert.equal(s.kind, 'opaque')
  assert.equal(w.op.count('GET /me'), 1)
  w.age()
  assert.equal((await w.run('token')).status, 0)
  assert.equal(w.op.count('refresh_token.consumed'), 1)
})

ring('on demand, git gets a token by one page for 10 processes', async (t) => {
  const w = await world(t)
  const stdin = 'protocol=https\nhost=git.acme.dev\n\n'
  const all = await Promise.all(
    Array.from({ length: 10 }, () => w.run([helper, 'get'], { stdin, more: { CLERK_HELPER_INTERACTIVE: 'always' } })),
  )
  for (const got of all) assert.match(got.out, /^password=.+/m, got.words)
  assert.equal(w.op.count('authorization.success'), 1)
})

ring('reuse ends the session, and a sign-in heals it', async (t) => {
  const w = await world(t)
  const first = await w.login()
  w.age()
  await w.run('token')
  assert.equal(await w.present(first.refresh_token), 'invalid_grant') // a thief
  w.age()
  const got = await w.run('token', { more: { CLERK_HELPER_INTERACTIVE: 'never' } })
  assert.equal(got.status, 4, got.words)
  assert.match(got.words, /needs a sign-in/)
  await w.login()
  assert.equal((await w.run('token')).status, 0)
})

ring('logout revokes, also while discovery fails', async (t) => {
  for (const broken of [false, true]) {
    const w = await world(t)
    const s = await w.login()
    if (broken) w.op.faults.set('/.well-known/openid-configuration', answer(...Array(9).fill({ status: 503 })))
    assert.equal((await w.run('logout')).status, 0)
    assert.equal(w.op.count('POST /token/revocation'), 1)
    assert.equal(await w.present(s.refresh_token), 'invalid_grant')
  }
})

ring('a sign-in again revokes the older grant', async (t) => {
  const w = await world(t)
  const first = await w.login()
  await w.login()
  assert.equal(await w.present(first.refresh_token), 'invalid_grant')
  w.age()
  assert.equal((await w.run('token')).status, 0)
})

ring('keys change between sign-in and refresh', async (t) => {
  const w = await world(t)
  await w.login()
  w.op.changeKeys()
  w.age()
  assert.equal((await w.run('token')).status, 0)
  w.op.changeKeys()
  await w.login()
})

ring('paste', async (t) => {
  const w = await world(t)
  let pasted = false
  const got = await w.run(['script', '-qefc', `${helper} login --flow paste`, '/dev/null'], {
    heard: (all, stdin) => {
      const found = all.replace(/\r?\n */g, '\n').match(/(http:\/\/127\.0\.0\.1:\d+\/auth\?\S+)/)
      if (!found || pasted || !/press Enter/.test(all)) return
      pasted = true
      browse(found[1], 'stop').then(({ url }) => stdin.write(`${url}\r`))
    },
  })
  assert.equal(got.status, 0, got.out)
  assert.equal(w.session().email, 'ada@acme.dev')
})

ring('device: approved, denied, and an error that ends it', async (t) => {
  for (const [how, ends] of [['approve', 0], ['deny', 1], ['error', 1]]) {
    const w = await world(t)
    if (how === 'error') {
      w.op.faults.set('/token', answer({ status: 500, body: { error: 'server_error', error_description: 'no' } }))
    }
    let asked = false
    const got = await w.run(['script', '-qefc', `${helper} login --flow device`, '/dev/null'], {
      heard: (all) => {
        const found = all.match(/(http:\/\/127\.0\.0\.1:\d+\/device\?user_code=[A-Z0-9-]+)/)
        if (!found || asked || how === 'error') return
        asked = true
        browse(found[1], how).catch((error) => t.diagnostic(String(error)))
      },
    })
    assert.equal(got.status, ends, got.out)
    if (how === 'error') assert.equal(w.op.count('POST /token'), 1, got.out)
    if (how === 'deny') assert.match(got.out, /access was denied/)
    if (how === 'approve') assert.ok(w.session().refresh_token)
  }
})

ring('declined in the browser', async (t) => {
  const w = await world(t)
  const got = await w.run('login', { more: { RING_BROWSER: 'deny' } })
  assert.equal(got.status, 1)
  assert.match(got.words, /access was denied/)
})

ring('an answer that names another issuer is refused', async (t) => {
  const w = await world(t)
  const got = await w.run('login', { more: { RING_BROWSER: 'forge' } })
  assert.equal(got.status, 1)
  assert.match(got.words, /came back from the issuer/)
  assert.equal(w.op.count('POST /token'), 0)
})

ring('ID tokens, and a refresh without one', async (t) => {
  const w = await world(t, {}, 'token = "id"')
  await w.login()
  w.age()
  const fresh = await w.run('token')
  assert.equal(claims(fresh.out)[1].aud, 'helper')
  w.op.life = 4 // the ID token itself says when it ends
  await w.login()
  w.op.withoutIDToken = true
  await new Promise((done) => setTimeout(done, 4500))
  const before = w.op.count('refresh_token.consumed')
  for (let call = 0; call < 4; call++) {
    const got = await w.run('token', { more: { CLERK_HELPER_INTERACTIVE: 'never' } })
    assert.equal(got.status, 4, got.words)
    assert.match(got.words, /the issuer sends an ID token at a sign-in only/)
  }
  assert.ok(w.op.count('refresh_token.consumed') - before <= 1)
  w.op.withoutIDToken = false
  w.op.life = 3600
  assert.equal((await w.run('token', { more: { CLERK_HELPER_INTERACTIVE: 'always' } })).status, 0)
})

ring('without openid no nonce is sent', async (t) => {
  const w = await world(t, {}, 'scopes = ["profile", "email", "offline_access"]')
  assert.equal((await w.login()).sub, 'ada')
})

ring('discovery takes 9 s, and the token endpoint 20 s', async (t) => {
  const w = await world(t)
  await w.login()
  rmSync(join(w.home, '.local/state/clerk-credential-helper/locks/outcomes'), { recursive: true, force: true })
  w.op.faults.set('/.well-known/openid-configuration', late(9))
  w.op.faults.set('/token', late(20))
  w.age()
  const got = await w.run('token')
  assert.equal(got.status, 0, got.words)
  assert.equal(w.op.count('grant.error'), 0)
})

ring('the token endpoint takes 55 s', async (t) => {
  const w = await world(t)
  const old = await w.login()
  w.op.faults.set('/token', late(55))
  w.age()
  const got = await w.run('token')
  assert.equal(got.status, 1)
  assert.match(got.words, /the refresh goes on in the background/)
  const end = Date.now() + 30_000
  while (w.session().refresh_token === old.refresh_token && Date.now() < end) await new Promise((done) => setTimeout(done, 200))
  w.op.faults.clear()
  const next = await w.run('token')
  assert.equal(next.status, 0, next.words)
  assert.equal(w.op.count('refresh_token.consumed'), 1)
  assert.equal(w.op.count('grant.error'), 0)
})

ring('discovery fails, and the token endpoint works', async (t) => {
  const w = await world(t)
  await w.login()
  w.op.faults.set('/.well-known/openid-configuration', answer(...Array(9).fill({ status: 503 })))
  w.age()
  const got = await w.run('token')
  assert.equal(got.status, 0, got.words)
})

ring('errors of a refresh are named, and end', async (t) => {
  const codes = ['invalid_scope', 'invalid_client', 'unauthorized_client', 'unsupported_grant_type', 'invalid_request', 'invalid_target']
  for (const code of [...codes, 'server_error', 'temporarily_unavailable']) {
    const w = await world(t)
    await w.login()
    w.age()
    const status = code === 'server_error' ? 500 : code === 'temporarily_unavailable' ? 503 : 400
    w.op.faults.set('/token', answer({ status, body: { error: code } }))
    const got = await w.run('token')
    assert.equal(got.status, 1)
    assert.match(got.words, new RegExp(`\\(${code}\\)`))
    assert.match(got.words, /^hint: /m)
    assert.match((await w.run('status')).out, new RegExp(code))
    if (codes.includes(code)) {
      const asked = w.op.count('POST /token')
      assert.match((await w.run('token')).words, new RegExp(code))
      assert.equal(w.op.count('POST /token'), asked)
      assert.doesNotMatch((await w.run('status')).out, /refreshed when needed/)
      assert.match((await w.run('explain https://git.acme.dev')).out, new RegExp(code))
    }
    await w.login()
    assert.match((await w.run('status')).out, /refreshed when needed/)
  }
})

ring('a busy issuer does not throw a sign-in away', async (t) => {
  const pause = { status: 429, headers: { 'retry-after': '2' } }
  for (const path of ['/jwks', '/me', '/token', '/.well-known/openid-configuration']) {
    const w = await world(t, { opaque: true })
    w.op.faults.set(path, answer(pause))
    await w.login()
  }
})

ring('a grant that is not kept is revoked', async (t) => {
  const w = await world(t, { opaque: true })
  w.op.faults.set('/me', answer(...Array(9).fill({ status: 403 })))
  const got = await w.run('login')
  assert.equal(got.status, 1)
  assert.equal(w.op.count('grant.success'), 1)
  assert.equal(w.op.count('POST /token/revocation'), 1)
})

ring('an issuer that cannot work is found before the browser opens', async (t) => {
  for (const [options, words] of [[{ pushed: true }, /pushed/], [{ curve: true }, /only RS256 is supported/]]) {
    const w = await world(t, options)
    const got = await w.run('login')
    assert.equal(got.status, 1)
    assert.match(got.words.replace(/\s+/g, ' '), words)
    assert.equal(w.op.count('GET /auth'), 0)
  }
})

const noChromium = process.env.CHROMIUM ? false : 'there is no chromium'
const throughChromium = async (t) => {
  const w = await world(t, { pages: auto })
  const bin = join(w.home, 'bin')
  mkdirSync(bin)
  const started = join(w.home, 'chromium.pid')
  writeFileSync(
    join(bin, 'chromium-once'),
    `#!/bin/sh\n${process.env.CHROMIUM} --headless=new --no-sandbox --disable-gpu --user-data-dir=${w.home}/chromium "$1" >/dev/null 2>&1 &\necho $! >${started}\n`,
    { mode: 0o755 },
  )
  const got = await w.run('login', { more: { BROWSER: join(bin, 'chromium-once'), PATH: bin + delimiter + process.env.PATH } })
  process.kill(Number(readFileSync(started, 'utf8')))
  await new Promise((done) => setTimeout(done, 500))
  assert.equal(got.status, 0, got.words)
  assert.equal(w.session().email, 'ada@acme.dev')
}
ring('Chromium', throughChromium, noChromium)

describe('oidc-provider', { concurrency: 4 }, () => {
  for (const all of rings) it(...all)
})
