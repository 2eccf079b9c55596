// The same app with other settings: secrets that are rotated, templates, stores, other origins, mistakes, and a Clerk that
// answers nonsense.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { listen } from "../port.mjs";
import {
  approved,
  asking,
  assertPageHeaders,
  claimsOf,
  clerkForTests,
  client,
  filled,
  openPage,
  post,
  redeem,
  refresh,
  refused,
  revoke,
  secret,
  sendForm,
  signedInTokens,
  signIn,
  startApp,
  tokens,
  unseal,
} from "./app.mjs";

/** @import { IncomingMessage, RequestListener, ServerResponse } from "node:http" */
/** @import { TestContext } from "node:test" */
/** @import { App, Changes, Clerk, Session } from "./app.mjs" */

/** @type {Clerk} */
let clerk;

before(async () => {
  clerk = await clerkForTests();
});
after(() => clerk?.close());

/** @type {(response: Response, why: string) => Promise<void>} */
const refusedGrant = (response, why) => refused(response, 400, "invalid_grant", why);

/**
 * Runs the app with these settings for one test.
 * @param {TestContext} t
 * @param {Changes} settings
 */
async function running(t, settings) {
  const app = await startApp(clerk, settings);
  t.after(app.stop);
  return app;
}

/**
 * A server of the test's own.
 * @param {TestContext} t
 * @param {RequestListener} handler
 */
async function serving(t, handler) {
  const server = createServer(handler);
  const port = await listen(server);
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${port}`;
}

/** @param {IncomingMessage} request */
async function bodyOf(request) {
  let text = "";
  for await (const part of request) text += part;
  return text;
}

test("secrets are rotated: the old one opens while it is listed, and no longer", async (t) => {
  const [old, fresh] = [secret, "the next secret which is as long as it must be"];
  // One origin for all three, as behind one address.
  const origin = "https://app.acme.dev";
  const before = await running(t, { CLI_AUTH_ORIGIN: origin, CLI_AUTH_SECRET: old });
  const during = await running(t, { CLI_AUTH_ORIGIN: origin, CLI_AUTH_SECRET: `${fresh},${old}` });
  const after = await running(t, { CLI_AUTH_ORIGIN: origin, CLI_AUTH_SECRET: fresh });
  const session = { ...(await signIn(before)), headers: { origin } };
  const start = await approvedAt(before, session);
  const { refresh_token: first } = await tokens(await redeem(during, start));
  const { refresh_token: kept } = await tokens(await redeem(before, start));
  await tokens(await refresh(after, first));
  await tokens(await refresh(during, kept));
  await refusedGrant(await refresh(after, kept), "sealed with the secret that is gone");
  await refusedGrant(await redeem(after, start), "the previous code");
  await refusedGrant(await refresh(before, first), "sealed with a secret that is not there yet");
});

test("another app with the same secret and the same instance: its values are not ours", async (t) => {
  const [one, two] = [await running(t, {}), await running(t, {})];
  assert.notEqual(one.origin, two.origin);
  const ada = await signIn(one);
  const approval = await approved(one, ada);
  await refusedGrant(await redeem(two, approval), "a code of the other app");
  const { refresh_token } = await tokens(await redeem(one, approval));
  await refusedGrant(await refresh(two, refresh_token), "a refresh token of the other app");
  const fromOther = await sendForm(two, { ...asking().params }, { ...ada, headers: { origin: one.origin } });
  assert.equal(fromOther.status, 403, "nor is its page");
});

test("another instance behind the same address: its values are not ours", async (t) => {
  const origin = "https://app.acme.dev";
  const one = await running(t, { CLI_AUTH_ORIGIN: origin });
  const two = await running(t, {
    CLI_AUTH_ORIGIN: origin,
    NEXT_PUBLIC_CLERK_PROXY_URL: "https://app.acme.dev/__clerk",
  });
  const metadata = await (await fetch(`${two.origin}/.well-known/oauth-authorization-server`)).json();
  assert.equal(metadata.jwks_uri, "https://app.acme.dev/__clerk/.well-known/jwks.json");
  const approval = await approvedAt(one, { ...(await signIn(one)), headers: { origin } });
  await refusedGrant(await redeem(two, approval), "a code for the other instance");
  const { refresh_token } = await tokens(await redeem(one, approval));
  await refusedGrant(await refresh(two, refresh_token), "a refresh token for the other instance");
});

/**
 * approved() for an app whose own origin is not the address that the test reaches it at.
 * @param {App} app
 * @param {Session & { headers: { origin: string } }} session
 */
async function approvedAt(app, session) {
  const { params, verifier } = asking();
  const form = { ...params, session: session.session, organization: session.organization, decision: "approve" };
  const response = await sendForm(app, form, session);
  assert.equal(response.status, 303, await response.clone().text());
  const to = new URL(response.headers.get("location") ?? "");
  assert.equal(to.searchParams.get("iss"), app.issuer);
  return { code: to.searchParams.get("code") ?? "", verifier, redirect_uri: params.redirect_uri };
}

test("how long a token lives is the operator's word", async (t) => {
  const app = await running(t, { CLI_AUTH_TOKEN_SECONDS: "60" });
  const { access_token, expires_in } = await signedInTokens(app, await signIn(app));
  assert.ok(expires_in > 50 && expires_in <= 60, String(expires_in));
  const { iat, exp } = claimsOf(access_token);
  assert.equal(exp - iat, 60);
});

test("tokens from a template; the session still decides about the organisation", async (t) => {
  const app = await running(t, { CLI_AUTH_TEMPLATE: "cli_session_token" });
  const session = await signIn(app);
  const { access_token, refresh_token, expires_in } = await signedInTokens(app, session);
  const { sub, sid, exp } = claimsOf(access_token);
  assert.deepEqual([sub, sid], [session.user, undefined], "a template token names no session");
  assert.ok(Math.abs(exp - Date.now() / 1000 - expires_in) < 5);
  const next = await tokens(await refresh(app, refresh_token));
  await clerk.control("/organization", { session: session.session, id: clerk.organizations.Lab });
  await refusedGrant(await refresh(app, next.refresh_token), "another organisation");
  await clerk.control("/organization", { session: session.session, id: clerk.organizations.Acme });
  await tokens(await refresh(app, next.refresh_token));
  await clerk.control("/session", { session: session.session, status: "revoked" });
  await refusedGrant(await refresh(app, next.refresh_token), "the session was revoked");
});

describe("a KV store", () => {
  const token = "the token of the store";

  /** @typedef {(response: ServerResponse, words: string[]) => unknown} Answer */

  /**
   * A Redis behind REST, as far as it is needed. An answer takes the place of the usual ones.
   * @param {TestContext} t
   */
  async function kv(t) {
    const kept = new Map();
    /** @type {{ answer: Answer | undefined, commands: string[][] }} */
    const state = { answer: undefined, commands: [] };
    const url = await serving(t, async (request, response) => {
      const words = JSON.parse(await bodyOf(request));
      state.commands.push(words);
      if (state.answer) return state.answer(response, words);
      if (request.headers.authorization !== `Bearer ${token}`)
        return response.writeHead(401).end('{"error":"Unauthorized"}');
      // Of a script it knows only which key is taken; what a real one does is in testing/stores.
      const [command, ...rest] = words;
      let result;
      if (command === "EXISTS") result = kept.has(rest[0]) ? 1 : 0;
      else if (command === "TIME") result = [String(Math.floor(Date.now() / 1000)), "0"];
      else if (command === "HDEL") result = 1;
      else if (command === "EVAL") {
        const [, , key, value] = rest;
        result = key.startsWith("cli-auth:grants:") || !kept.has(key) ? 1 : 0;
        if (result) kept.set(key, value);
      } else return response.writeHead(400).end('{"error":"ERR syntax error"}');
      response.end(JSON.stringify({ result }));
    });
    return Object.assign(state, { url });
  }

  test("remembers for all processes of an app", async (t) => {
    const store = await kv(t);
    const origin = "https://app.acme.dev";
    const settings = { CLI_AUTH_ORIGIN: origin, CLI_AUTH_STORE: store.url, CLI_AUTH_STORE_TOKEN: token };
    const [one, two] = [await running(t, settings), await running(t, settings)];
    const session = { ...(await signIn(one)), headers: { origin } };

    const approval = await approvedAt(one, session);
    const { refresh_token: first } = await tokens(await redeem(one, approval));
    const { refresh_token: second } = await tokens(await refresh(two, first));
    await refusedGrant(await refresh(one, first), "used at the other process");
    await refusedGrant(await refresh(two, second), "its family ended at the other process");

    const again = await approvedAt(one, session);
    const answers = await Promise.all([one, two, one, two].map((app) => redeem(app, again)));
    assert.equal(answers.filter(({ status }) => status === 200).length, 1, "one of four at the same moment");

    const third = await tokens(await redeem(one, await approvedAt(one, session)));
    assert.equal((await revoke(two, third.refresh_token)).status, 200);
    await refusedGrant(await refresh(one, third.refresh_token), "revoked at the other process");
    for (const [command, ...rest] of store.commands)
      assert.doesNotMatch(command === "EVAL" ? rest[2] : String(rest[0]), /eyJ|sess_|user_/, "keys tell nothing");
  });

  test("that does not answer is 503, never yes; afterwards the same values work", async (t) => {
    const store = await kv(t);
    const app = await running(t, { CLI_AUTH_STORE: store.url, CLI_AUTH_STORE_TOKEN: token });
    const ada = await signIn(app);
    const approval = await approved(app, ada);
    const { refresh_token } = await signedInTokens(app, ada);
    /** @type {[why: string, answer: Answer][]} */
    const rows = [
      ["a fault", (response) => response.writeHead(500).end()],
      ["an error", (response) => response.end('{"error":"READONLY"}')],
      ["a broken connection", (response) => response.destroy()],
      ["silence", () => {}],
      ["no JSON", (response) => response.end("OK")],
      ["a refusal", (response) => response.writeHead(401).end('{"error":"Unauthorized"}')],
      // The question is answered and the taking is not: only the last step fails.
      [
        "silence at the end",
        (response, [command]) => (command === "EXISTS" ? response.end('{"result":0}') : response.destroy()),
      ],
    ];
    for (const [why, answer] of rows) {
      store.answer = answer;
      for (const response of [
        await redeem(app, approval),
        await refresh(app, refresh_token),
        await revoke(app, refresh_token),
      ]) {
        assert.equal(response.headers.get("retry-after"), "5", why);
        await refused(response, 503, "temporarily_unavailable", why);
      }
    }
    store.answer = undefined;
    await tokens(await redeem(app, approval));
    await tokens(await refresh(app, refresh_token));
    assert.ok(!app.log().includes(token), "the store's token is not in the log");
  });
});

test("a Clerk that answers nonsense is one that does not answer; another person's token is refused", async (t) => {
  const origin = "https://app.acme.dev";
  const real = await running(t, { CLI_AUTH_ORIGIN: origin });
  const ada = await signIn(real);
  const jwt = (/** @type {object} */ claims) =>
    `eyJhbGciOiJSUzI1NiJ9.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.x`;
  const good = {
    sub: ada.user,
    sid: ada.session,
    o: { id: ada.organization },
    exp: Math.floor(Date.now() / 1000) + 600,
  };
  const active = { status: "active", user_id: ada.user, last_active_organization_id: ada.organization };
  /** @typedef {string | object | ((response: ServerResponse) => unknown)} Answer */
  /** @typedef {{ sessions?: Answer, tokens?: Answer }} Answers */
  /** @type {Answers} */
  let answers = {};
  const backend = await serving(t, (request, response) => {
    const path = request.url?.replace(/.*\/tokens$/, "tokens").replace(/^\/v1\/(sessions|users)\/.*/, "$1") ?? "";
    /** @type {Record<string, Answer>} */
    const all = { sessions: active, tokens: { jwt: jwt(good) }, users: {}, ...answers };
    const answer = all[path];
    if (answer instanceof Function) return answer(response);
    response.setHeader("content-type", "application/json");
    response.end(typeof answer === "string" ? answer : JSON.stringify(answer));
  });
  const app = await running(t, { CLI_AUTH_ORIGIN: origin, CLERK_API_URL: backend });
  const { refresh_token } = await tokens(await redeem(real, await approvedAt(real, { ...ada, headers: { origin } })));
  await tokens(await refresh(app, refresh_token));

  /** @typedef {[status: number, error: string]} Refusal */
  /** @type {Refusal} */
  const unavailable = [503, "temporarily_unavailable"];
  /** @type {Refusal} */
  const grant = [400, "invalid_grant"];
  /** @type {Refusal} */
  const wrong = [500, "server_error"];
  /** @type {[change: Answers, refusal: Refusal, why: string][]} */
  const rows = [
    [{ sessions: "<html>" }, unavailable, "a page in place of JSON"],
    [{ sessions: "" }, unavailable, "nothing"],
    [{ sessions: (r) => r.end(JSON.stringify({ ...active, x: "x".repeat(1 << 20) })) }, unavailable, "far too much"],
    [{ sessions: (r) => r.writeHead(302, { location: "/v1/sessions/x" }).end() }, unavailable, "a redirect"],
    [{ sessions: { ...active, user_id: 5 } }, unavailable, "a session without a user"],
    [{ sessions: "null" }, grant, "null"],
    [{ sessions: "[]" }, grant, "a list"],
    [{ sessions: { ...active, status: "ACTIVE" } }, grant, "another word"],
    [{ sessions: { ...active, user_id: "user_2other" } }, grant, "another user's session"],
    [{ sessions: { ...active, last_active_organization_id: null } }, grant, "another organisation"],
    [{ tokens: {} }, unavailable, "no token"],
    [{ tokens: { jwt: "opaque" } }, unavailable, "a token that is no JWT"],
    [{ tokens: { jwt: jwt({ ...good, exp: 1 }) } }, unavailable, "a token that is over"],
    [{ tokens: { jwt: jwt({ ...good, exp: undefined }) } }, unavailable, "a token without an end"],
    [{ tokens: { jwt: jwt({ ...good, sub: "user_2other" }) } }, grant, "another user's token"],
    [{ tokens: { jwt: jwt({ ...good, sub: undefined }) } }, grant, "a token without a subject"],
    [{ tokens: { jwt: jwt({ ...good, o: { id: "org_2other" } }) } }, grant, "a token in another organisation"],
    [{ tokens: { jwt: jwt({ ...good, o: undefined }) } }, grant, "a token in none"],
    [{ tokens: { jwt: jwt({ ...good, azp: origin }) } }, wrong, "a token that could pass for a browser's own"],
    [{ tokens: { jwt: jwt({ ...good, o: undefined, org_id: "org_2other" }) } }, grant, "the same in the older form"],
  ];
  for (const [change, [status, error], why] of rows) {
    answers = change;
    await refused(await refresh(app, refresh_token), status, error, why);
  }
  answers = { tokens: { jwt: jwt({ ...good, o: undefined, org_id: ada.organization }) } };
  await tokens(await refresh(app, refresh_token));

  const day = 24 * 3600;
  /** @type {[expire_at: (now: number) => number | undefined, life: number][]} */
  const lives = [
    [(now) => (now + 40 * day) * 1000, 30 * day],
    [(now) => (now + 2 * day) * 1000, 2 * day],
    [() => undefined, 30 * day],
  ];
  for (const [expire_at, life] of lives) {
    const now = Math.floor(Date.now() / 1000);
    answers = { sessions: { ...active, expire_at: expire_at(now) } };
    const { exp = 0 } = await unseal("refresh", (await tokens(await refresh(app, refresh_token))).refresh_token);
    assert.ok(
      Math.abs(exp - now - life) < 10,
      `a refresh token lives as long as its session may, ${life}: ${exp - now}`,
    );
  }
});

test("a template that leaves the organisation out: the session is asked once more", async (t) => {
  const origin = "https://app.acme.dev";
  const real = await running(t, { CLI_AUTH_ORIGIN: origin });
  const ada = await signIn(real);
  const exp = Math.floor(Date.now() / 1000) + 600;
  const token = `eyJhbGciOiJSUzI1NiJ9.${Buffer.from(JSON.stringify({ sub: ada.user, exp })).toString("base64url")}.x`;
  let asked = 0;
  let second = ada.organization;
  const backend = await serving(t, (request, response) => {
    response.setHeader("content-type", "application/json");
    if (request.url?.endsWith("/tokens/plain")) return response.end(JSON.stringify({ jwt: token }));
    if (request.url?.startsWith("/v1/users")) return response.end("{}");
    asked += 1;
    const organization = asked % 2 ? ada.organization : second;
    response.end(JSON.stringify({ status: "active", user_id: ada.user, last_active_organization_id: organization }));
  });
  const app = await running(t, { CLI_AUTH_ORIGIN: origin, CLERK_API_URL: backend, CLI_AUTH_TEMPLATE: "plain" });
  const { refresh_token } = await tokens(await redeem(real, await approvedAt(real, { ...ada, headers: { origin } })));
  await tokens(await refresh(app, refresh_token));
  assert.equal(asked, 2);
  second = clerk.organizations.Lab;
  await refusedGrant(await refresh(app, refresh_token), "switched while the token was made");
});

test("the company's file: as it was set, without a session; nothing where it is not", async (t) => {
  const file = {
    version: 1,
    name: "Acme",
    profiles: { acme: { companion: "https://app.acme.dev", hosts: ["git.acme.dev"] } },
  };
  const path = "/.well-known/clerk-credential-helper.json";
  const app = await running(t, { CLI_AUTH_COMPANY: JSON.stringify(file) });
  const answer = await fetch(app.origin + path, { redirect: "manual" });
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get("content-type") ?? "", /^application\/json/);
  assert.deepEqual(await answer.json(), file);
  const without = await running(t, {});
  assert.equal((await fetch(without.origin + path, { redirect: "manual" })).status, 404);
});

test("the hourly limits: a person, and an address behind a proxy; a refused request leaves everything as it was", async (t) => {
  const limits = { CLI_AUTH_PERSON_PER_HOUR: "4", CLI_AUTH_ADDRESS_PER_HOUR: "7", CLI_AUTH_PROXIES: "1" };
  const from = (/** @type {string} */ address) => ({ "x-forwarded-for": `6.6.6.6, ${address}` });
  const app = await running(t, { ...limits, CLI_AUTH_STORE: "memory" });
  const refreshFrom = (/** @type {string} */ address, /** @type {string} */ token) =>
    post(app, "/api/cli-auth/token", { ...client, grant_type: "refresh_token", refresh_token: token }, from(address));
  const [ada, bob] = [await signIn(app), await signIn(app, { user: "bob@acme.dev", organization: "" })];

  const { refresh_token: first } = await signedInTokens(app, ada); // the code is one of four, its redemption another
  const { refresh_token: second } = await tokens(await refreshFrom("203.0.113.1", first));
  await refused(await refreshFrom("203.0.113.1", first), 400, "invalid_grant", "used twice, which is not counted");
  const again = await approved(app, ada);
  const answer = await redeem(app, again);
  assert.match(answer.headers.get("retry-after") ?? "", /^[0-9]{1,4}$/);
  await refused(answer, 429, "temporarily_unavailable", "the fifth of the person");
  const form = await sendForm(app, filled(asking().params, ada), ada);
  assert.equal(form.status, 429);
  assertPageHeaders(form, "'self'");
  await refused(await refreshFrom("203.0.113.2", second), 400, "invalid_grant", "its family ended");
  await signedInTokens(app, bob);

  for (let at = 0; at < 7; at++) await refused(await refreshFrom("203.0.113.3", "x"), 400, "invalid_grant", "not ours");
  await refused(await refreshFrom("203.0.113.3", "x"), 429, "temporarily_unavailable", "the eighth of the address");
  await refused(await refreshFrom("203.0.113.4", "x"), 400, "invalid_grant", "another address");

  const without = await running(t, limits);
  const eve = await signIn(without);
  for (let at = 0; at < 4; at++) await signedInTokens(without, eve); // nothing is counted without a store
});

test("wrong settings: everything is refused, the variable is named, its value is not", async (t) => {
  /** @type {[name: string, value: string | undefined][]} */
  const rows = [
    ["CLI_AUTH_ORIGIN", undefined],
    ["CLI_AUTH_SECRET", "short and secret"],
    ["CLI_AUTH_SECRET", "a".repeat(32)],
    ["CLI_AUTH_STORE", "redis://u:private@kv/x"],
    ["CLI_AUTH_COMPANY", "private.json"],
    ["CLERK_SECRET_KEY", ""],
  ];
  for (const [name, value] of rows) {
    // Clerk's own function says itself that its key is missing, so the page is not asked then.
    const app = await running(t, { [name]: value });
    const answers = [
      await fetch(`${app.origin}/.well-known/oauth-authorization-server`),
      await post(app, "/api/cli-auth/token", { ...client, grant_type: "refresh_token", refresh_token: "x" }),
      await post(app, "/api/cli-auth/revoke", { ...client, token: "x" }),
    ];
    const page = await openPage(app, asking().params, await signIn(app));
    assertPageHeaders(page, "'self'", name);
    for (const answer of [...answers, page]) {
      const text = await answer.text();
      assert.equal(answer.status, 500, `${name}: ${text}`);
      assert.match(text, new RegExp(name));
      if (value) assert.ok(!text.includes(value), name);
    }
  }
});
