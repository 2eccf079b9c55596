// Sealed values: what was put in comes out, for the right kind, secret, app and instance, and in no other case.

import assert from "node:assert/strict";
import { test } from "node:test";
import { compileLibrary } from "./compile.mjs";

const library = await compileLibrary();
const { now, openCode, openRefresh, sealCode, sealRefresh, Unsealable } = library.load("seal");

const [origin, clerk] = ["https://app.acme.dev", "https://clerk.acme.dev"];
/** The settings, as far as they are read here. */
const settings = /** @type {import("../../lib/cli-auth/settings").Settings} */ ({
  origin,
  clerk,
  secrets: ["a".repeat(32)],
});
const grant = { family: "family_1", generation: 3, sid: "sess_1", sub: "user_1", org: "org_1" };
const bound = { challenge: "c".repeat(43), port: 49152, machine: "the laptop" };
const later = () => now() + 60;

test("a round trip keeps the grant", async () => {
  for (const org of ["", "org_1"]) {
    const refresh = await openRefresh(settings, await sealRefresh(settings, { ...grant, org }, later()));
    assert.deepEqual({ ...refresh, jti: 0, exp: 0 }, { ...grant, org, jti: 0, exp: 0 });
    const code = await openCode(settings, await sealCode(settings, { ...grant, org }, bound, later()));
    assert.deepEqual({ ...code, jti: 0, exp: 0 }, { ...grant, org, ...bound, generation: 0, jti: 0, exp: 0 });
  }
});

test("no two sealed values are the same, and each has an id of its own", async () => {
  const exp = later();
  const values = await Promise.all(Array.from({ length: 200 }, () => sealRefresh(settings, grant, exp)));
  assert.equal(new Set(values).size, 200);
  const opened = await Promise.all(values.map((value) => openRefresh(settings, value)));
  assert.equal(new Set(opened.map(({ jti }) => jti)).size, 200);
});

test("nothing of the grant can be read without the secret", async () => {
  const value = await sealCode(settings, grant, bound, later());
  const readable = value.split(".").map((part) => Buffer.from(part, "base64url").toString("latin1"));
  for (const text of ["sess_1", "user_1", "family_1", "acme"]) assert.ok(!readable.join().includes(text), text);
});

test("a kind opens as itself only", async () => {
  await assert.rejects(openRefresh(settings, await sealCode(settings, grant, bound, later())), Unsealable);
  await assert.rejects(openCode(settings, await sealRefresh(settings, grant, later())), Unsealable);
});

test("another app, another instance, another secret", async () => {
  const value = await sealRefresh(settings, grant, later());
  const others = [
    { ...settings, origin: "https://app.acme.dev:8443" },
    { ...settings, origin: "https://other.acme.dev" },
    { ...settings, clerk: "https://clerk.other.dev" },
    { ...settings, secrets: ["b".repeat(32)] },
    { ...settings, secrets: ["a".repeat(33)] },
  ];
  for (const other of others) await assert.rejects(openRefresh(other, value), Unsealable, JSON.stringify(other));
});

test("rotation: the first secret seals, all of them open, a removed one no more", async () => {
  const [old, fresh] = ["a".repeat(32), "b".repeat(32)];
  const before = await sealRefresh({ ...settings, secrets: [old] }, grant, later());
  const during = await sealRefresh({ ...settings, secrets: [fresh, old] }, grant, later());
  for (const value of [before, during]) await openRefresh({ ...settings, secrets: [fresh, old] }, value);
  await openRefresh({ ...settings, secrets: [fresh] }, during);
  await assert.rejects(openRefresh({ ...settings, secrets: [old] }, during), Unsealable);
  await assert.rejects(openRefresh({ ...settings, secrets: [fresh] }, before), Unsealable);
});

test("without a secret nothing is sealed", async () => {
  for (const secrets of [[], [""]]) {
    await assert.rejects(sealRefresh({ ...settings, secrets }, grant, later()), /no secret/);
  }
});

test("it ends when it says", async () => {
  await openRefresh(settings, await sealRefresh(settings, grant, now() + 2));
  for (const age of [0, 1, 3600]) {
    await assert.rejects(
      openRefresh(settings, await sealRefresh(settings, grant, now() - age)),
      Unsealable,
      String(age),
    );
  }
});

test("no character of it can be changed", async () => {
  const value = await sealRefresh(settings, grant, later());
  for (let at = 0; at < value.length; at++) {
    // The last character of a part may hold bits that no byte uses; those that count are changed here.
    const next = value[at] === "." ? "A" : letterAfter(value[at]);
    await assert.rejects(
      openRefresh(settings, value.slice(0, at) + next + value.slice(at + 1)),
      Unsealable,
      String(at),
    );
  }
});

/** @param {string} letter */
function letterAfter(letter) {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return letters[(letters.indexOf(letter) + 32) % 64];
}

test("what is no sealed value is refused without more ado", async () => {
  const value = await sealRefresh(settings, grant, later());
  const parts = value.split(".");
  const rows = [
    ["", "empty"],
    [".", "a dot"],
    ["....", "empty parts"],
    [parts.slice(0, 4).join("."), "a part is missing"],
    [`${value}.x`, "a part too many"],
    [`${value} `, "a space after it"],
    [value.replace("..", ".AAAA."), "an encrypted key where there is none"],
    [`${Buffer.from('{"alg":"none"}').toString("base64url")}.e30.`, "an unsecured JWT"],
    [`${Buffer.from('{"alg":"dir","enc":"A256GCM"}').toString("base64url")}.${parts.slice(1).join(".")}`, "no key id"],
    ["x".repeat(1 << 20), "a megabyte"],
    [value.repeat(20), "many of them"],
  ];
  for (const [wrong, why] of rows) await assert.rejects(openRefresh(settings, wrong), Unsealable, why);
});

test("every field has its type, also in a value that another release sealed", async () => {
  /** @type {[change: object, why: string][]} */
  const rows = [
    [{ sid: 1 }, "a number for an id"],
    [{ sid: "" }, "an empty id"],
    [{ sid: "../users/user_2" }, "an id that is a path"],
    [{ sub: "user_1\n" }, "an id with a line break"],
    [{ family: undefined }, "no family"],
    [{ generation: undefined }, "no generation"],
    [{ generation: "3" }, "a word for a generation"],
    [{ generation: -1 }, "a generation before the first"],
    [{ org: null }, "null for the personal account"],
    [{ org: { id: "org_1" } }, "an object for an id"],
  ];
  for (const [change, why] of rows) {
    const value = await sealRefresh(settings, { ...grant, ...change }, later());
    await assert.rejects(openRefresh(settings, value), Unsealable, why);
  }
  /** @type {object[]} */
  const changes = [{ port: "49152" }, { port: 1.5 }, { challenge: "short" }, { challenge: undefined }];
  for (const change of changes) {
    const value = await sealCode(settings, grant, { ...bound, ...change }, later());
    await assert.rejects(openCode(settings, value), Unsealable, JSON.stringify(change));
  }
});
