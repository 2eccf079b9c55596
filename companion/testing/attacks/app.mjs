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

/** The stand-in for Clerk, and its control interface. */
export async function clerkForTests() {
  const clerk = await startClerk();
  assert.equal(clerk.ready.publishableKey, publishableKey);
  const control = async (path, body) => {
    const response = await fetch(clerk.ready.control + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    assert.equal(response.status, 200, `${path}: ${await response.clone().text()}`);
    return response.json();
  };
  const log = async () => (await fetch(`${clerk.ready.control}/log`)).json();
  return { ...clerk.ready, control, log, journal: clerk.journal, close: clerk.close };
}

/** Starts the built app. Settings that are undefined are left out. */
export async function startApp(clerk, settings = {}) {
  assert.ok(await isBuilt(), "the build is missing or older than the source: node testing/attacks/build.mjs");
  return onFreePort((at) => startAppAt(at, clerk, settings));
}

async function startAppAt(at, clerk, settings) {
  const origin = `http://localhost:${at}`;
  const env = {
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
  };
  for (const name of Object.keys(env)) if (env[name] === undefined) delete env[name];
  const next = join(companion, "node_modules", "next", "dist", "bin", "next");
  const child = spawn(process.execPath, [next, "start", "-p", String(at), "--keepAliveTimeout", "70000"], {
    cwd: builtApp,
    env,
  });
  let output = "";
  const exit = new Promise((done) => child.once("exit", done));
  await new Promise((done, fail) => {
    const hear = (text) => {
      output += text;
      if (/Ready in/.test(output)) done();
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

/** The parameters of a sign-in, with the verifier that only the helper knows. */
export function asking(changes = {}) {
  const verifier = randomBytes(32).toString("base64url");
  const params = {
    response_type: "code",
    client_id: "clerk-credential-helper",
    redirect_uri: `http://127.0.0.1:${port}/callback`,
    state: randomBytes(32).toString("base64url"),
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    ...changes,
  };
  for (const name of Object.keys(params)) if (params[name] === undefined) delete params[name];
  return { params, verifier };
}

/** A browser that is signed in to the app: the token in its cookie names the app's origin (azp), as clerk-js asked for it. */
export async function signIn(app, { user = "ada@acme.dev", organization = "acme", ...more } = {}) {
  const answer = await app.clerk.control("/sign-in", { user, organization, origin: app.issuer, ...more });
  return { ...answer, organization: answer.organization ?? "", cookie: cookieHeader(answer.cookies) };
}

export function cookieHeader(cookies) {
  return Object.entries(cookies)
    .map(([name, value]) => `${name}=${value}`)
    .join("; ");
}

/** Opens the authorize page as a browser does. query is an object, an array of pairs, or the text itself. */
export function openPage(app, query, { cookie, headers = {} } = {}) {
  const text = typeof query === "string" ? query : new URLSearchParams(query);
  return fetch(`${app.origin}/cli-auth?${text}`, {
    redirect: "manual",
    headers: { accept: "text/html", "sec-fetch-dest": "document", ...(cookie ? { cookie } : {}), ...headers },
  });
}

/** Sends the form of a page, the consent form unless path says otherwise. form is an object, an array of pairs, or the text
 * itself; headers may take some away. */
export function sendForm(app, form, { cookie, headers = {}, path = "/api/cli-auth/approve", method = "POST" } = {}) {
  const all = {
    "content-type": "application/x-www-form-urlencoded",
    origin: app.origin,
    "sec-fetch-site": "same-origin",
    "sec-fetch-dest": "document",
    ...(cookie ? { cookie } : {}),
    ...headers,
  };
  for (const name of Object.keys(all)) if (all[name] === undefined) delete all[name];
  const text = typeof form === "string" ? form : String(new URLSearchParams(form));
  const body = method === "POST" ? text : undefined;
  return fetch(app.origin + path, { method, redirect: "manual", headers: all, body });
}

/** The form of a consent page, filled in. */
export function filled(params, session, changes = {}) {
  return { ...params, session: session.session, organization: session.organization, decision: "approve", ...changes };
}

/** The place a 303 leads to. */
export async function redirected(response) {
  assert.equal(response.status, 303, await response.clone().text());
  return new URL(response.headers.get("location"));
}

/** A code that was approved, and what is needed to redeem it. */
export async function approved(app, session) {
  const { params, verifier } = asking();
  const to = await redirected(await sendForm(app, filled(params, session), session));
  assert.equal(`${to.origin}${to.pathname}`, params.redirect_uri);
  assert.equal(to.searchParams.get("state"), params.state);
  assert.equal(to.searchParams.get("iss"), app.issuer);
  return { code: to.searchParams.get("code"), verifier, redirect_uri: params.redirect_uri };
}

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

export function codeForm({ code, verifier, redirect_uri }, changes = {}) {
  const form = { ...client, grant_type: "authorization_code", code, redirect_uri, code_verifier: verifier, ...changes };
  for (const name of Object.keys(form)) if (form[name] === undefined) delete form[name];
  return form;
}

export function redeem(app, approval, changes) {
  return post(app, "/api/cli-auth/token", codeForm(approval, changes));
}

export function refresh(app, token) {
  return post(app, "/api/cli-auth/token", { ...client, grant_type: "refresh_token", refresh_token: token });
}

export function revoke(app, token) {
  return post(app, "/api/cli-auth/revoke", { ...client, token });
}

/** The tokens of an answer, which must be a good one. */
export async function tokens(response) {
  const body = await response.json();
  assert.equal(response.status, 200, JSON.stringify(body));
  assert.equal(response.headers.get("cache-control"), "no-store");
  assert.equal(body.token_type, "Bearer");
  assert.ok(body.access_token && body.refresh_token);
  return body;
}

/** Tokens from the beginning. */
export async function signedInTokens(app, session) {
  return tokens(await redeem(app, await approved(app, session)));
}

/** What a helper does that is told to wait. */
export async function patiently(ask) {
  for (const end = Date.now() + 60_000; ; ) {
    try {
      return await ask();
    } catch (error) {
      if ((error.actual !== 503 && error.message !== "fetch failed") || Date.now() > end) throw error;
    }
  }
}

/** Demands a refusal of exactly this kind, in the shape of RFC 6749 §5.2 and without a token. */
export async function refused(response, status, error, why) {
  const text = await response.text();
  assert.deepEqual([response.status, JSON.parse(text).error], [status, error], `${why}: ${text}`);
  assert.equal(response.headers.get("cache-control"), "no-store", why);
  assert.equal(response.headers.get("location"), null, why);
  assert.doesNotMatch(text, /eyJ/, why);
}

/** A sealed value of the same form as the app's own, with other contents. template is a genuine one. */
export async function forge(kind, template, claims, { key = secret, header = {} } = {}) {
  const { kid } = decodeProtectedHeader(template);
  const sealing = new Uint8Array(hkdfSync("sha256", key, "", `clerk-credential-helper/${kind}/1`, 32));
  return new EncryptJWT(claims).setProtectedHeader({ alg: "dir", enc: "A256GCM", kid, ...header }).encrypt(sealing);
}

/** What a sealed value of the app holds. */
export async function unseal(kind, value, key = secret) {
  const sealing = new Uint8Array(hkdfSync("sha256", key, "", `clerk-credential-helper/${kind}/1`, 32));
  return (await jwtDecrypt(value, sealing)).payload;
}

/** The claims of a JWT. */
export function claimsOf(jwt) {
  return JSON.parse(Buffer.from(jwt.split(".")[1], "base64url"));
}

/** The headers that every page must have: it is never framed and never cached. */
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
