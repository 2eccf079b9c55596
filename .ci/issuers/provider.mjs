// An authorization server that is not ours: npm's oidc-provider, set up as Clerk documents itself. Public client, PKCE,
// access tokens of RFC 9068, rotation with reuse detection, device grant, revocation, the iss parameter.
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { Provider } from 'oidc-provider'

console.info = console.warn = () => {} // that it is not set up for production

const key = (type, alg, options) => {
  const { privateKey } = generateKeyPairSync(type, options)
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: `${alg}-${Math.random()}` }
}
const rsa = () => key('rsa', 'RS256', { modulusLength: 2048 })
const ec = () => key('ec', 'ES256', { namedCurve: 'P-256' })

// storage is what the provider keeps, for both of its lives around a change of keys. Nothing expires by it.
function storage() {
  const kept = new Map()
  return class {
    constructor(name) {
      this.name = name
    }
    all() {
      return [...kept].filter(([name]) => name.startsWith(`${this.name}:`)).map(([, payload]) => payload)
    }
    async upsert(id, payload) {
      kept.set(`${this.name}:${id}`, payload)
    }
    async find(id) {
      return kept.get(`${this.name}:${id}`)
    }
    async findByUid(uid) {
      return this.all().find((payload) => payload.uid === uid)
    }
    async findByUserCode(code) {
      return this.all().find((payload) => payload.userCode === code)
    }
    async destroy(id) {
      kept.delete(`${this.name}:${id}`)
    }
    async consume(id) {
      kept.get(`${this.name}:${id}`).consumed = Math.floor(Date.now() / 1000)
    }
    async revokeByGrantId(grant) {
      for (const [name, payload] of kept) if (payload.grantId === grant) kept.delete(name)
    }
  }
}

export const auto = '<script>document.forms[0].submit()</script>' // for a browser without a user

export async function provide({ opaque = false, life = 3600, pushed = false, curve = false, pages = '' } = {}) {
  const seen = [] // requests and events, in their order
  const faults = new Map() // path to a function that may answer in the provider's place
  const op = { seen, faults, life, withoutIDToken: false }
  let current
  const server = createServer(async (req, res) => {
    const path = new URL(req.url, 'http://x').pathname
    seen.push(`${req.method} ${path}`)
    if (await faults.get(path)?.(req, res)) return
    const page = pages && req.method === 'GET' && path.match(/^\/interaction\/([^/]+)$/)
    if (page) {
      const { prompt } = await current.interactionDetails(req, res)
      const more = prompt.name === 'login' ? '<input name="login" value="ada"><input name="password" value="x">' : ''
      res.setHeader('content-type', 'text/html')
      res.end(`<form method="post" action="${path}"><input name="prompt" value="${prompt.name}">${more}</form>${pages}`)
      return
    }
    current.callback()(req, res)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  op.issuer = `http://127.0.0.1:${server.address().port}`

  op.changeKeys = () => {
    const made = new Provider(op.issuer, configuration())
    for (const event of ['authorization.success', 'grant.success', 'grant.error', 'grant.revoked', 'refresh_token.consumed', 'server_error']) {
      made.on(event, (_, error) => seen.push(error ? `${event}: ${error.error ?? error.message} ${error.error_detail ?? ''}` : event))
    }
    made.use(async (ctx, next) => {
      await next()
      if (op.withoutIDToken && ctx.path === '/token' && ctx.body?.id_token) delete ctx.body.id_token
    })
    current = made
  }
  const adapter = storage()
  const configuration = () => ({
    adapter,
    clients: [
      {
        client_id: 'helper',
        application_type: 'native',
        token_endpoint_auth_method: 'none',
        redirect_uris: ['http://127.0.0.1/callback'],
        grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
        ...(curve && { id_token_signed_response_alg: 'ES256' }),
      },
    ],
    jwks: { keys: curve ? [ec()] : [rsa(), ec()] },
    ...(curve && { enabledJWA: { idTokenSigningAlgValues: ['ES256'] } }),
    cookies: { keys: ['of the ring'] },
    scopes: ['openid', 'profile', 'email', 'offline_access'],
    claims: { openid: ['sub'], email: ['email'], profile: ['name'] },
    conformIdTokenClaims: false, // the e-mail address is in the ID token, as Clerk has it
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@acme.dev`, name: id }) }),
    rotateRefreshToken: true,
    issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
    ttl: { AccessToken: () => op.life, IdToken: () => op.life, RefreshToken: 86400, Grant: 86400, Session: 86400, Interaction: 600, DeviceCode: 600 },
    features: {
      devInteractions: { enabled: true },
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
      pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: pushed },
      resourceIndicators: {
        enabled: !opaque,
        defaultResource: () => 'urn:acme:api',
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: 'read',
          audience: 'urn:acme:api',
          accessTokenFormat: 'jwt',
          accessTokenTTL: op.life,
          jwt: { sign: { alg: curve ? 'ES256' : 'RS256' } },
        }),
      },
    },
  })
  op.changeKeys()
  op.count = (what) => seen.filter((line) => line.startsWith(what)).length
  op.close = () => server.close() || server.closeAllConnections()
  return op
}

// answer is a fault: the next answers are these, and then the provider's.
export function answer(...answers) {
  return (_, res) => {
    const next = answers.shift()
    if (!next) return false
    const { status, body = '', headers = {} } = next
    res.writeHead(status, { 'content-type': 'application/json', ...headers })
    res.end(typeof body === 'string' ? body : JSON.stringify(body))
    return true
  }
}

// late is a fault: the provider's answer comes that much later.
export const late = (seconds) => () => new Promise((done) => setTimeout(() => done(false), seconds * 1000))
