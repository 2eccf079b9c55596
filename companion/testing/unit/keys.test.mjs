// The keys of issuers: kept for a while, asked for once by many, and not again for each unknown name of a key.

import assert from "node:assert/strict";
import { test } from "node:test";
import { newKey, newKeys, startCiIssuer } from "../ci-issuer.mjs";
import { compileLibrary } from "./compile.mjs";

const library = await compileLibrary();
const { IssuerKeys, IssuerUnavailable } = library.load("keys");

const made = newKeys();

/**
 * An issuer, and a cache whose clock the test moves.
 * @param {import("node:test").TestContext} t
 * @param {Parameters<typeof startCiIssuer>[0]} [options]
 */
async function set(t, options) {
  const issuer = await startCiIssuer({ keys: [...made], ...options });
  t.after(issuer.close);
  const clock = { at: 1000 };
  const keys = new IssuerKeys(() => clock.at);
  const path = new URL(issuer.url).pathname.replace(/\/$/, "");
  const asked = () => [
    issuer.asked[`${path}/.well-known/openid-configuration`] ?? 0,
    issuer.asked[`${path}/jwks`] ?? 0,
  ];
  const find = (kid = issuer.keys[0].kid, alg = "RS256") => keys.find(issuer.url, [], kid, alg);
  return { issuer, clock, keys, asked, find };
}

test("a key is found by its id and its algorithm, and only its public numbers are used", async (t) => {
  const { issuer, find, asked } = await set(t, { path: "/tenant/a" });
  issuer.change.jwks = { keys: issuer.keys.map(({ jwk }) => ({ ...jwk, d: "private", x5u: "https://evil.com" })) };
  assert.deepEqual(Object.keys((await find()) ?? {}), ["kty", "n", "e"]);
  assert.deepEqual(Object.keys((await find(issuer.keys[1].kid, "ES256")) ?? {}), ["kty", "crv", "x", "y"]);
  assert.equal((await find(issuer.keys[2].kid, "PS256"))?.kty, "RSA");
  for (const alg of ["PS256", "ES256", "HS256", "none", "toString", ""]) {
    assert.equal(await find(issuer.keys[0].kid, alg), undefined, alg);
  }
  assert.deepEqual(asked(), [1, 1], "all from one answer");
});

test("a hundred at once are one question", async (t) => {
  const { find, asked } = await set(t);
  const found = await Promise.all(Array.from({ length: 100 }, () => find()));
  assert.ok(found.every((key) => key?.kty === "RSA"));
  assert.deepEqual(asked(), [1, 1]);
});

test("keys are kept for ten minutes; a withdrawn one is then unknown", async (t) => {
  const { issuer, clock, find, asked } = await set(t);
  const [old] = issuer.keys;
  assert.ok(await find());
  issuer.keys.splice(0, 1, newKey("RS256"));
  clock.at += 10 * 60_000 - 1;
  assert.ok(await find(old.kid));
  assert.deepEqual(asked(), [1, 1]);
  clock.at += 1;
  assert.equal(await find(old.kid), undefined);
  assert.ok(await find(issuer.keys[0].kid));
  assert.deepEqual(asked(), [2, 2]);
});

test("a new key is asked for, but unknown ids do not ask more than twice a minute", async (t) => {
  const { issuer, clock, find, asked } = await set(t);
  assert.ok(await find());
  const fresh = newKey("RS256");
  issuer.keys.push(fresh);
  assert.equal(await find(fresh.kid), undefined, "asked a moment ago");
  assert.deepEqual(asked(), [1, 1]);
  clock.at += 30_000;
  assert.ok(await find(fresh.kid));
  assert.deepEqual(asked(), [2, 2]);
  for (let second = 0; second < 60; second++) {
    clock.at += 1000;
    await Promise.all([0, 1, 2].map((at) => find(`unknown ${second} ${at}`)));
  }
  assert.deepEqual(asked(), [4, 4]);
});

test("an issuer that fails is left alone for five seconds, and then good again", async (t) => {
  const { issuer, clock, find, asked } = await set(t);
  issuer.change.discovery = (response) => response.writeHead(503).end();
  for (let times = 0; times < 5; times++) await assert.rejects(find(), IssuerUnavailable);
  assert.deepEqual(asked(), [1, 0]);
  issuer.change.discovery = undefined;
  await assert.rejects(find(), IssuerUnavailable);
  clock.at += 5000;
  assert.ok(await find());
  clock.at += 10 * 60_000;
  issuer.change.jwks = "<html>";
  await assert.rejects(find(), IssuerUnavailable, "old keys are not used for ever");
});

test("an issuer with a slash at its end has its documents below it", async (t) => {
  const { issuer, keys } = await set(t);
  const url = `${issuer.url}/`;
  issuer.change.discovery = { issuer: url, jwks_uri: `${issuer.url}/jwks` };
  assert.ok(await keys.find(url, [], issuer.keys[0].kid, "RS256"));
  await assert.rejects(keys.find(issuer.url, [], issuer.keys[0].kid, "RS256"), IssuerUnavailable, "another issuer");
});
