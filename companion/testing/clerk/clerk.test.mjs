// The stand-in is worth as much as it is like Clerk: its answers are put to Clerk's own server code.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { get } from "node:https";
import { after, before, beforeEach, test } from "node:test";
import { connect } from "node:tls";
import { fileURLToPath } from "node:url";
import { createClerkClient } from "@clerk/backend";
import { startClerk } from "../clerk.mjs";

const app = "http://localhost:3000";
/** @import { StandIn } from "../clerk.mjs" */
/** @typedef {ReturnType<typeof createClerkClient>} Client Clerk's own server code */

/** @type {StandIn} */
let clerk;
/** @type {StandIn["ready"]} */
let ready;
/** @type {Client} */
let client;

before(async () => {
  clerk = await startClerk();
  ready = clerk.ready;
  const { secretKey, publishableKey, backend: apiUrl } = ready;
  client = createClerkClient({ secretKey, publishableKey, apiUrl, telemetry: { disabled: true } });
});
after(() => clerk.close());
beforeEach(() => control("/reset"));

/**
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<any>}
 */
async function control(path, body = {}) {
  const response = await fetch(ready.control + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200, `${path}: ${await response.clone().text()}`);
  return response.json();
}

const cookieHeader = (/** @type {Record<string, string>} */ cookies) =>
  Object.entries(cookies)
    .map(([name, value]) => `${name}=${value}`)
    .join("; ");

/**
 * What Clerk's server code makes of a request.
 * @param {Record<string, string>} headers
 * @param {Parameters<Client["authenticateRequest"]>[1]} [options]
 */
function judged(headers, options = {}, path = "/") {
  return client.authenticateRequest(new Request(app + path, { headers }), options);
}

const page = { accept: "text/html", "sec-fetch-dest": "document" };

/**
 * A GET over TLS to the issuer's real name, through the proxy.
 * @param {string} path
 */
async function throughProxy(path, host = new URL(ready.issuer).hostname) {
  const { hostname, port } = new URL(ready.proxy);
  const tunnel = request({ hostname, port, method: "CONNECT", path: `${host}:443` }).end();
  const [response, socket] = await once(tunnel, "connect");
  if (response.statusCode !== 200) {
    socket.destroy();
    return { status: response.statusCode };
  }
  const ca = await readFile(ready.ca);
  const answer = get({ host, path, createConnection: () => connect({ socket, servername: host, ca }) });
  const [incoming] = await once(answer, "response");
  let text = "";
  for await (const part of incoming) text += part;
  socket.destroy();
  return { status: incoming.statusCode, headers: incoming.headers, text };
}

test("the cookies of a sign-in are a session to Clerk's code", async () => {
  const { cookies, session, user } = await control("/sign-in", { user: "ada@acme.dev", organization: "acme" });
  const state = await judged({ cookie: cookieHeader(cookies), ...page });
  assert.equal(state.status, "signed-in", String(state.reason));
  const { userId, sessionId, orgId, orgSlug, orgRole } = state.toAuth();
  assert.deepEqual(
    { userId, sessionId, orgId, orgSlug, orgRole },
    { userId: user, sessionId: session, orgId: ready.organizations.Acme, orgSlug: "acme", orgRole: "org:admin" },
  );
});

// Clerk's code takes a session token that is older than the client's last change for one of an earlier sign-in.
test("a client has changed when its session began, however often it is asked for", async () => {
  const { cookies } = await control("/sign-in", { user: "ada@acme.dev" });
  const { text } = await throughProxy(`/v1/client?__clerk_db_jwt=${cookies.__clerk_db_jwt}`);
  assert.equal(JSON.parse(text ?? "").response.updated_at, Number(cookies.__client_uat) * 1000);
});

test("a browser without a session is signed out, without a handshake", async () => {
  const { cookies } = await control("/browser");
  const state = await judged({ cookie: cookieHeader(cookies), ...page });
  assert.equal(state.status, "signed-out", String(state.reason));
});

test("a browser that Clerk does not know goes through a handshake and is known afterwards", async () => {
  const state = await judged(page, {}, "/cli-auth?state=x");
  assert.equal(state.status, "handshake");
  const away = new URL(state.headers.get("location") ?? "");
  assert.equal(away.origin, ready.issuer);
  const answer = await throughProxy(away.pathname + away.search);
  assert.equal(answer.status, 307);
  const back = new URL(answer.headers.location);
  assert.equal(back.searchParams.get("state"), "x");
  const resolved = await judged(page, {}, back.pathname + back.search);
  const names = resolved.headers.getSetCookie().map((line) => line.split("=")[0]);
  assert.ok(names.includes("__clerk_db_jwt") && names.includes(`__client_uat_${ready.cookieSuffix}`), names.join());
  const once = await client.clients
    .getHandshakePayload({ nonce: back.searchParams.get("__clerk_handshake_nonce") ?? "" })
    .catch((e) => e);
  assert.equal(once.status, 404, "a nonce works once");
});

test("a handshake brings the session of a browser that is known, in a token that names no page", async () => {
  const { cookies, session } = await control("/sign-in", { user: "ada@acme.dev", origin: app });
  const azp = (/** @type {string} */ token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url").toString()).azp;
  assert.equal(azp(cookies.__session), app, "a token that a page asked for names it");
  const { token } = await control("/token", { kind: "session", session, claims: { exp: 1_700_000_000 } });
  const old = { ...cookies, __session: token, [`__session_${ready.cookieSuffix}`]: token };
  const state = await judged({ cookie: cookieHeader(old), ...page });
  assert.equal(state.status, "handshake", String(state.reason));
  const away = new URL(state.headers.get("location") ?? "");
  const back = new URL((await throughProxy(away.pathname + away.search)).headers.location);
  const resolved = await judged({ cookie: cookieHeader(old), ...page }, {}, back.pathname + back.search);
  const fresh = resolved.headers.getSetCookie().find((line) => line.startsWith("__session="));
  const [, jwt] = /^__session=([^;]+)/.exec(fresh ?? "") ?? assert.fail("no session");
  assert.equal(azp(jwt), undefined);
  const again = await judged({
    cookie: cookieHeader({ ...cookies, __session: jwt, [`__session_${ready.cookieSuffix}`]: jwt }),
    ...page,
  });
  assert.equal(again.toAuth()?.sessionId, session, "to Clerk's code it is a session all the same");
});

test("a handshake leads to apps of this machine only", async () => {
  const answer = await throughProxy("/v1/client/handshake?redirect_url=https%3A%2F%2Fapp.acme.dev%2F");
  assert.equal(answer.status, 422);
});

test("every kind of token is what it says", async () => {
  const { session, user } = await control("/sign-in", { user: "bob@acme.dev" });
  const machine = "mch_2ci0000000000000000000000000";
  /** @type {(body: object) => Promise<string>} */
  const jwt = async (body) => (await control("/token", body)).token;
  /** @type {(body: object) => Promise<string>} */
  const opaque = async (body) => (await control("/opaque", body)).token;
  for (const [why, token, options, want] of [
    ["a session token", await jwt({ kind: "session", session }), {}, user],
    ["a template token is no session", await jwt({ kind: "template", session }), {}, null],
    ["an expired one", await jwt({ kind: "session", session, claims: { exp: 1_700_000_000 } }), {}, null],
    ["an OAuth token is no session", await jwt({ kind: "oauth", user }), {}, null],
    ["an OAuth token", await jwt({ kind: "oauth", user }), { acceptsToken: "oauth_token" }, user],
    ["an opaque one", await opaque({ kind: "oauth", subject: user }), { acceptsToken: "oauth_token" }, user],
    ["a machine's", await jwt({ kind: "m2m" }), { acceptsToken: "m2m_token" }, machine],
    ["its opaque one", await opaque({ kind: "m2m", subject: machine }), { acceptsToken: "m2m_token" }, machine],
    ["an API key", await opaque({ kind: "api_key", subject: user }), { acceptsToken: "api_key" }, user],
    ["an API key that was never made", `ak_${"0".repeat(48)}`, { acceptsToken: "api_key" }, null],
  ]) {
    const state = await judged({ authorization: `Bearer ${token}` }, options);
    const auth = /** @type {Record<string, unknown> | null} */ (state.toAuth());
    assert.equal(auth?.userId ?? auth?.machineId ?? auth?.subject ?? null, want, why);
  }
});

test("the Backend API tells sessions, people and organisations", async () => {
  const { session, user } = await control("/sign-in", { user: "ada@acme.dev", organization: "lab" });
  const got = await client.sessions.getSession(session);
  assert.deepEqual([got.userId, got.status, got.lastActiveOrganizationId], [user, "active", ready.organizations.Lab]);
  assert.equal((await client.users.getUser(user)).primaryEmailAddress?.emailAddress, "ada@acme.dev");
  const memberships = await client.users.getOrganizationMembershipList({ userId: user, limit: 100 });
  assert.deepEqual(
    memberships.data.map(({ organization }) => organization.name),
    ["Acme", "Lab"],
  );
  assert.equal(
    (await client.users.getOrganizationMembershipList({ userId: user, limit: 1, offset: 1 })).data[0].organization.name,
    "Lab",
  );
});

test("tokens are made for the session, as long as asked, while it is active", async () => {
  const { session, user } = await control("/sign-in", { user: "ada@acme.dev", organization: "lab" });
  const { jwt } = await client.sessions.getToken(session, undefined, 900);
  const claims = JSON.parse(Buffer.from(jwt.split(".")[1], "base64url").toString());
  assert.deepEqual(
    [claims.sub, claims.sid, claims.o.id, claims.exp - claims.iat],
    [user, session, ready.organizations.Lab, 900],
  );
  assert.equal("azp" in claims, false, "there is no page that it could be for");
  /** @type {[why: string, promise: Promise<unknown>, status: number][]} */
  const refused = [
    ["too short", client.sessions.getToken(session, undefined, 29), 422],
    ["no such template", client.sessions.getToken(session, "nothing"), 404],
    ["no such session", client.sessions.getToken("sess_2nobody"), 404],
  ];
  for (const [why, promise, status] of refused) {
    const { status: got } = await promise.then(
      () => ({ status: 200 }),
      (error) => error,
    );
    assert.equal(got, status, why);
  }
  for (const status of ["pending", "revoked", "ended", "expired", "removed", "replaced", "abandoned"]) {
    await control("/session", { session, status });
    assert.equal((await client.sessions.getSession(session)).status, status);
    assert.equal((await client.sessions.getToken(session).catch((error) => error)).status, 404, status);
  }
});

test("the Backend API wants the secret key", async () => {
  for (const authorization of ["", "Bearer sk_test_other", `Basic ${ready.secretKey}`]) {
    const response = await fetch(`${ready.backend}/v1/jwks`, { headers: { authorization } });
    assert.equal(response.status, 401, authorization);
  }
});

test("faults come on order, and end", async () => {
  const { session } = await control("/sign-in", { user: "bob@acme.dev" });
  await control("/fault", { path: "/v1/sessions/*", status: 429, times: 1, headers: { "retry-after": "7" } });
  const busy = await client.sessions.getSession(session).catch((error) => error);
  assert.deepEqual([busy.status, busy.retryAfter], [429, 7]);
  await control("/fault", { path: `/v1/sessions/${session}`, status: "drop" });
  const headers = { authorization: `Bearer ${ready.secretKey}` };
  await assert.rejects(fetch(`${ready.backend}/v1/sessions/${session}`, { headers }));
  assert.equal((await client.sessions.getSession(session)).status, "active");
});

test("the proxy leads to the issuer and nowhere else", async () => {
  const numbers = (/** @type {{ kid?: string, n?: string }} */ { kid, n }) => ({ kid, n });
  const keys = await throughProxy("/.well-known/jwks.json");
  assert.deepEqual(JSON.parse(keys.text ?? "").keys.map(numbers), (await client.jwks.getJwks()).keys?.map(numbers));
  assert.equal((await throughProxy("/", "example.com")).status, 403);
});

test("the command ends with its standard input", async () => {
  const child = spawn(process.execPath, [fileURLToPath(new URL("../clerk.mjs", import.meta.url))], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [line] = await once(child.stdout.setEncoding("utf8"), "data");
  assert.match(JSON.parse(line).publishableKey, /^pk_test_/);
  child.stdin.end();
  assert.deepEqual(await once(child, "exit"), [0, null]);
});
