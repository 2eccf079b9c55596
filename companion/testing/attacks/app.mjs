// The app as it runs in production, and what a helper, a browser and an attacker send to it. Nothing of lib/cli-auth is
// used here: sealed values are forged from the description of their form.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, hkdfSync, randomBytes } from "node:crypto";
import { join } from "node:path";
import { decodeProtectedHeader, EncryptJWT, jwtDecrypt } from "jose";
import { startClerk } from "../clerk.mjs";
import { onFreePort } from "../port.mjs";
import { builtApp, isBuilt, publishableKey } from "./build.mjs";

const companion = join(import.meta.dirname, "..", "..");
export const secret = "the secret of the attack table and long enough";
export const port = 49152; // no helper listens there: no redirect is ever followed

/**
 * @typedef {Awaited<ReturnType<typeof clerkForTests>>} Clerk the stand-in, its addresses and keys, and its control
 *   interface
 */
/** @typedef {Awaited<ReturnType<typeof startApp>>} App the app that runs */
/**
 * @typedef {object} Session a browser that is signed in
 * @property {string} session
 * @property {string} user
 * @property {string} organization its id; empty is the personal account
 * @property {string} browser what Clerk knows the browser by
 * @property {Record<string, string>} cookies
 * @property {string} cookie the Cookie header
 */
/** @typedef {Awaited<ReturnType<typeof approved>>} Approval a code, and what is needed to redeem it */
/** @typedef {Record<string, string | undefined>} Changes values in place of the usual ones; undefined leaves one out */
/** @typedef {string | string[][] | Record<string, string>} Query parameters, or pairs of them, or the text itself */

/** The stand-in for Clerk, and its control interface. */
export async function clerkForTests() {
  const clerk = await startClerk();
  assert.equal(clerk.ready.publishableKey, publishableKey);
  /** @type {(path: string, body: object) => Promise<any>} */
  const control = async (path, body) => {
    const response = await fetch(clerk.ready.control + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    assert.equal(response.status, 200, `${path}: ${await response.clone().text()}`);
    return response.json();
  };
  /** @type {() => Promise<import("../clerk/web.mjs").Entry[]>} */
  const log = async () => (await fetch(`${clerk.ready.control}/log`)).json();
  return { ...clerk.ready, control, log, journal: clerk.journal, close: clerk.close };
}

/**
 * Starts the built app.
 * @param {Clerk} clerk
 * @param {Changes} [settings]
 */
export async function startApp(clerk, settings = {}) {
  assert.ok(await isBuilt(), "the build is missing or older than the source: node testing/attacks/build.mjs");
  return onFreePort((at) => startAppAt(at, clerk, settings));
}

/**
 * @param {number} at
 * @param {Clerk} clerk
 * @param {Changes} settings
 */
async function startAppAt(at, clerk, settings) {
  const origin = `http://localhost:${at}`;
  const env = given({
    PATH: process.env.PATH,
    CLI_AUTH_ORIGIN: origin,
    CLI_AUTH_SECRET: secret,
    CLI_AUTH_PERSON_PER_HOUR: "0", // one person makes all of the requests here
    CLERK_SECRET_KEY: clerk.secretKey,
    CLERK_API_URL: clerk.backend,
    NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY: publishableKey,
    NEXT_PUBLIC_CLERK_TELEMETRY_DISABLED: "1",
    NEXT_TELEMETRY_DISABLED: "1",
    ...settings,
  });
  const next = join(companion, "node_modules", "next", "dist", "bin", "next");
  const child = spawn(process.execPath, [next, "start", "-p", String(at), "--keepAliveTimeout", "70000"], {
    cwd: builtApp,
    env,
  });
  let output = "";
  const exit = new Promise((done) => child.once("exit", done));
  await new Promise((done, fail) => {
    const hear = (/** @type {string} */ text) => {
      output += text;
      if (/Ready in/.test(output)) done(undefined);
    };
    child.stdout.setEncoding("utf8").on("data", hear);
    child.stderr.setEncoding("utf8").on("data", hear);
    exit.then(() => fail(new Error(`the app ended:\n${output}`)));
  });
  return {
    origin,
    port: at,
    issuer: env.CLI_AUTH_ORIGIN,
    clerk,
    pid: child.pid,
    log: () => output,
    stop: async () => {
      child.kill("SIGKILL");
      await exit;
    },
  };
}

/**
 * The same without what is undefined.
 * @param {Changes} values
 */
export function given(values) {
  /** @type {Record<string, string>} */
  const left = {};
  for (const [name, value] of Object.entries(values)) if (value !== undefined) left[name] = value;
  return left;
}

/**
 * The parameters of a sign-in, with the verifier that only the helper knows.
 * @param {Changes} [changes]
 */
export function asking(changes = {}) {
  const verifier = randomBytes(32).toString("base64url");
  const params = given({
    response_type: "code",
    client_id: "clerk-credential-helper",
    redirect_uri: `http://127.0.0.1:${port}/callback`,
    state: randomBytes(32).toString("base64url"),
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    ...changes,
  });
  return { params, verifier };
}

/**
 * A browser that is signed in to the app: the token in its cookie names the app's origin (azp), as clerk-js asked for
 * it.
 * @param {{ issuer: string, clerk: Clerk }} app
 * @param {{ user?: string, organization?: string | undefined, seconds?: number, origin?: string, browser?: string }}
 *   [as]
 * @returns {Promise<Session>}
 */
export async function signIn(app, { user = "ada@acme.dev", organization = "acme", ...more } = {}) {
  const answer = await app.clerk.control("/sign-in", { user, organization, origin: app.issuer, ...more });
  return { ...answer, organization: answer.organization ?? "", cookie: cookieHeader(answer.cookies) };
}

/** @param {Record<string, string>} cookies */
export function cookieHeader(cookies) {
  return Object.entries(cookies)
    .map(([name, value]) => `${name}=${value}`)
    .join("; ");
}

/**
 * Opens the authorize page as a browser does.
 * @param {{ origin: string }} app
 * @param {Query} query
 * @param {{ cookie?: string, headers?: Record<string, string> }} [how]
 */
export function openPage(app, query, { cookie, headers = {} } = {}) {
  const text = typeof query === "string" ? query : new URLSearchParams(query);
  return fetch(`${app.origin}/cli-auth?${text}`, {
    redirect: "manual",
    headers: { accept: "text/html", "sec-fetch-dest": "document", ...(cookie ? { cookie } : {}), ...headers },
  });
}

/**
 * Sends the form of a page, the consent form unless path says otherwise.
 * @param {{ origin: string }} app
 * @param {Query} form
 * @param {{ cookie?: string, headers?: Changes, path?: string, method?: string }} [how]
 */
export function sendForm(app, form, { cookie, headers = {}, path = "/api/cli-auth/approve", method = "POST" } = {}) {
  const all = given({
    "content-type": "application/x-www-form-urlencoded",
    origin: app.origin,
    "sec-fetch-site": "same-origin",
    "sec-fetch-dest": "document",
    ...(cookie ? { cookie } : {}),
    ...headers,
  });
  const text = typeof form === "string" ? form : String(new URLSearchParams(form));
  const body = method === "POST" ? text : undefined;
  return fetch(app.origin + path, { method, redirect: "manual", headers: all, body });
}

/**
 * The form of a consent page, filled in.
 * @param {Record<string, string>} params
 * @param {{ session: string, organization: string }} session
 * @param {Changes} [changes]
 */
export function filled(params, session, changes = {}) {
  const { session: id, organization } = session;
  return given({ ...params, session: id, organization, decision: "approve", ...changes });
}

/**
 * The place a 303 leads to.
 * @param {Response} response
 */
export async function redirected(response) {
  assert.equal(response.status, 303, await response.clone().text());
  return new URL(response.headers.get("location") ?? "");
}

/**
 * A code that was approved, and what is needed to redeem it.
 * @param {{ origin: string, issuer: string }} app
 * @param {Session} session
 */
export async function approved(app, session) {
  const { params, verifier } = asking();
  const to = await redirected(await sendForm(app, filled(params, session), session));
  assert.equal(`${to.origin}${to.pathname}`, params.redirect_uri);
  assert.equal(to.searchParams.get("state"), params.state);
  assert.equal(to.searchParams.get("iss"), app.issuer);
  return { code: to.searchParams.get("code") ?? "", verifier, redirect_uri: params.redirect_uri };
}

/**
 * @param {{ origin: string }} app
 * @param {string} path
 * @param {Query} body
 * @param {Record<string, string>} [headers]
 */
export function post(app, path, body, headers = {}) {
  const form = typeof body === "string" ? body : String(new URLSearchParams(body));
  return fetch(`${app.origin}${path}`, {
    method: "POST",
    redirect: "manual",
    headers: { "content-type": "application/x-www-form-urlencoded", ...headers },
    body: form,
  });
}

export const client = { client_id: "clerk-credential-helper" };

/**
 * @param {Approval} approval
 * @param {Changes} [changes]
 */
export function codeForm({ code, verifier, redirect_uri }, changes = {}) {
  const form = { ...client, grant_type: "authorization_code", code, redirect_uri, code_verifier: verifier };
  return given({ ...form, ...changes });
}

/**
 * @param {{ origin: string }} app
 * @param {Approval} approval
 * @param {Changes} [changes]
 */
export function redeem(app, approval, changes) {
  return post(app, "/api/cli-auth/token", codeForm(approval, changes));
}

/**
 * @param {{ origin: string }} app
 * @param {string} token
 */
export function refresh(app, token) {
  return post(app, "/api/cli-auth/token", { ...client, grant_type: "refresh_token", refresh_token: token });
}

/**
 * @param {{ origin: string }} app
 * @param {string} token
 */
export function revoke(app, token) {
  return post(app, "/api/cli-auth/revoke", { ...client, token });
}

/**
 * The tokens of an answer, which must be a good one.
 * @param {Response} response
 * @returns {Promise<{ access_token: string, refresh_token: string, token_type: string, expires_in: number, email?:
 *   string }>}
 */
export async function tokens(response) {
  const body = await response.json();
  assert.equal(response.status, 200, JSON.stringify(body));
  assert.equal(response.headers.get("cache-control"), "no-store");
  assert.equal(body.token_type, "Bearer");
  assert.ok(body.access_token && body.refresh_token);
  return body;
}

/**
 * Tokens from the beginning.
 * @param {{ origin: string, issuer: string }} app
 * @param {Session} session
 */
export async function signedInTokens(app, session) {
  return tokens(await redeem(app, await approved(app, session)));
}

/**
 * What a helper does that is told to wait.
 * @template T
 * @param {() => Promise<T>} ask
 * @returns {Promise<T>}
 */
export async function patiently(ask) {
  for (const end = Date.now() + 60_000; ; ) {
    try {
      return await ask();
    } catch (error) {
      const busy = error instanceof assert.AssertionError && error.actual === 503;
      const away = error instanceof Error && error.message === "fetch failed";
      if (!(busy || away) || Date.now() > end) throw error;
    }
  }
}

/**
 * Demands a refusal of exactly this kind, in the shape of RFC 6749 §5.2 and without a token.
 * @param {Response} response
 * @param {number} status
 * @param {string} error
 * @param {string} [why]
 */
export async function refused(response, status, error, why) {
  const text = await response.text();
  assert.deepEqual([response.status, JSON.parse(text).error], [status, error], `${why}: ${text}`);
  assert.equal(response.headers.get("cache-control"), "no-store", why);
  assert.equal(response.headers.get("location"), null, why);
  assert.doesNotMatch(text, /eyJ/, why);
}

/**
 * A sealed value of the same form as the app's own, with other contents.
 * @param {string} kind
 * @param {string} template a genuine one
 * @param {import("jose").JWTPayload} claims
 * @param {{ key?: string, header?: object }} [how]
 */
export async function forge(kind, template, claims, { key = secret, header = {} } = {}) {
  const { kid } = decodeProtectedHeader(template);
  const sealing = new Uint8Array(hkdfSync("sha256", key, "", `clerk-credential-helper/${kind}/1`, 32));
  return new EncryptJWT(claims).setProtectedHeader({ alg: "dir", enc: "A256GCM", kid, ...header }).encrypt(sealing);
}

/**
 * What a sealed value of the app holds.
 * @param {string} kind
 * @param {string} value
 */
export async function unseal(kind, value, key = secret) {
  const sealing = new Uint8Array(hkdfSync("sha256", key, "", `clerk-credential-helper/${kind}/1`, 32));
  return (await jwtDecrypt(value, sealing)).payload;
}

/**
 * The claims of a JWT.
 * @param {string} jwt
 */
export function claimsOf(jwt) {
  return JSON.parse(Buffer.from(jwt.split(".")[1], "base64url").toString());
}

/**
 * The headers that every page must have: it is never framed and never cached.
 * @param {Response} response
 * @param {string} formAction
 * @param {string} [why]
 */
export function assertPageHeaders(response, formAction, why) {
  assert.equal(
    response.headers.get("content-security-policy"),
    `frame-ancestors 'none'; base-uri 'none'; object-src 'none'; form-action ${formAction}`,
    why,
  );
  assert.equal(response.headers.get("x-frame-options"), "DENY", why);
  assert.equal(response.headers.get("cache-control"), "no-store", why);
  assert.equal(response.headers.get("x-content-type-options"), "nosniff", why);
  assert.equal(response.headers.get("referrer-policy"), "same-origin", why);
}
