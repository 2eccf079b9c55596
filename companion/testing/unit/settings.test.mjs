// The settings: what an operator may write, and that every mistake is named without its value.

import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { after, test } from "node:test";
import { compileLibrary } from "./compile.mjs";

const library = await compileLibrary();
after(library.remove);
const { issuerOfKey, readSettings, SettingsError } = library.load("settings");

process.env.NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY = "pk_test_bm90ZWQtbGFiLTQyLmNsZXJrLmFjY291bnRzLmRldiQ";
delete process.env.NEXT_PUBLIC_CLERK_PROXY_URL;
const [secret, other] = ["9f86d081884c7d659a2feaa0c55ad015", "Zm9yIHRoZSB0ZXN0cywgYW5kIGZvciBub3RoaW5n"];
const good = {
  CLI_AUTH_ORIGIN: "https://app.acme.dev",
  CLI_AUTH_SECRET: secret,
  CLERK_SECRET_KEY: "sk_test_x",
};

test("the defaults", () => {
  assert.deepEqual(readSettings(good), {
    origin: "https://app.acme.dev",
    clerk: "https://noted-lab-42.clerk.accounts.dev",
    secrets: [secret],
    tokenSeconds: 600,
    template: "",
    store: { kind: "none" },
    backend: { url: "https://api.clerk.com", secretKey: "sk_test_x" },
    company: undefined,
    ci: [],
    ciWarnings: [],
  });
});

test("what may be set", () => {
  const { secrets } = readSettings({ ...good, CLI_AUTH_SECRET: `${secret}, ${other}` });
  assert.deepEqual(secrets, [secret, other]);
  for (let made = 0; made < 2000; made++) {
    for (const text of [randomBytes(16).toString("hex"), randomBytes(24).toString("base64"), randomUUID()]) {
      assert.deepEqual(readSettings({ ...good, CLI_AUTH_SECRET: text }).secrets, [text]);
    }
  }
  for (const origin of ["http://localhost:3000", "http://127.0.0.1:3000", "http://[::1]:3000", "https://a.b:8443"]) {
    assert.equal(readSettings({ ...good, CLI_AUTH_ORIGIN: origin }).origin, origin);
  }
  for (const seconds of [60, 600, 3600]) {
    assert.equal(readSettings({ ...good, CLI_AUTH_TOKEN_SECONDS: String(seconds) }).tokenSeconds, seconds);
  }
  assert.deepEqual(readSettings({ ...good, CLI_AUTH_STORE: "memory" }).store, { kind: "memory" });
  const kv = { ...good, CLI_AUTH_STORE: "https://kv.acme.dev", CLI_AUTH_STORE_TOKEN: "t" };
  assert.deepEqual(readSettings(kv).store, { kind: "kv", url: "https://kv.acme.dev/", token: "t" });
});

test("the company's file", () => {
  const file = { version: 1, profiles: { acme: { companion: "https://app.acme.dev", hosts: ["git.acme.dev"] } } };
  const set = (text) => readSettings({ ...good, CLI_AUTH_COMPANY: text }).company;
  assert.deepEqual(set(JSON.stringify(file)), file);
  assert.equal(set(""), undefined);
  for (const [text, why] of [
    ["acme.json", "a file's name"],
    ["null", "nothing"],
    ["[]", "a list"],
    ["1", "a number"],
    [JSON.stringify({ ...file, version: 2 }), "a version that no helper knows"],
    [JSON.stringify({ version: 1 }), "no profiles"],
    [JSON.stringify({ ...file, name: "x".repeat(64 << 10) }), "larger than a helper reads"],
  ]) {
    assert.throws(() => set(text), SettingsError, why);
  }
});

test("what may not be set", () => {
  const rows = [
    ["CLI_AUTH_ORIGIN", undefined, "it is never guessed from a request"],
    ["CLI_AUTH_ORIGIN", "http://app.acme.dev", "codes and tokens would pass in the clear"],
    ["CLI_AUTH_ORIGIN", "http://localhost.acme.dev", "not this machine"],
    ["CLI_AUTH_ORIGIN", "https://app.acme.dev/", "the issuer is compared letter by letter"],
    ["CLI_AUTH_ORIGIN", "https://app.acme.dev/x", "a path"],
    ["CLI_AUTH_ORIGIN", "https://App.acme.dev", "a browser's Origin has lower case"],
    ["CLI_AUTH_ORIGIN", "https://u@app.acme.dev", "a user name"],
    ["CLI_AUTH_ORIGIN", "https://app.acme.dev:443", "the default port, which no Origin names"],
    ["CLI_AUTH_ORIGIN", "app.acme.dev", "no scheme"],
    ["CLI_AUTH_ORIGIN", "file:///x", "another scheme"],
    ["CLI_AUTH_SECRET", undefined, "anybody could make grants"],
    ["CLI_AUTH_SECRET", secret.slice(1), "too short"],
    ["CLI_AUTH_SECRET", `${secret},short`, "the second one too short"],
    ["CLI_AUTH_SECRET", `${secret},`, "an empty one"],
    ["CLI_AUTH_SECRET", "a".repeat(32), "one letter"],
    ["CLI_AUTH_SECRET", "a".repeat(4000), "one letter, often"],
    ["CLI_AUTH_SECRET", `${secret},${"a".repeat(32)}`, "the second one is one letter"],
    ["CLI_AUTH_SECRET", "0123456".repeat(5), "seven characters"],
    ["CLI_AUTH_SECRET", "ab".repeat(16), "two letters"],
    ["CLI_AUTH_SECRET", "changeme".repeat(4), "a word over and over"],
    ["CLI_AUTH_SECRET", "0123456789abcdef".repeat(2), "all digits, twice"],
    ["CLI_AUTH_SECRET", `${"my-dog-is-named-max-".repeat(2)}my`, "a sentence that begins again"],
    ["CLI_AUTH_SECRET", `${"x".repeat(30)}bcdefgh1234567`, "mostly one letter"],
    ["CLI_AUTH_SECRET", ` ${" ".repeat(40)}`, "spaces"],
    ["CLI_AUTH_TOKEN_SECONDS", "59", "too short"],
    ["CLI_AUTH_TOKEN_SECONDS", "3601", "too long"],
    ["CLI_AUTH_TOKEN_SECONDS", "1e3", "not digits"],
    ["CLI_AUTH_TOKEN_SECONDS", "-600", "negative"],
    ["CLI_AUTH_TEMPLATE", "../x", "it becomes part of a path"],
    ["CLI_AUTH_TEMPLATE", "x".repeat(65), "too long"],
    ["CLI_AUTH_STORE", "redis://kv.acme.dev", "another scheme"],
    ["CLI_AUTH_STORE", "http://kv.acme.dev", "the store's token would pass in the clear"],
    ["CLI_AUTH_STORE", "https://u:p@kv.acme.dev", "a password in the address"],
    ["CLI_AUTH_STORE", "Memory", "not a word of ours"],
    ["CLI_AUTH_STORE_TOKEN", undefined, "a store without its token", { CLI_AUTH_STORE: "https://kv.acme.dev" }],
    ["CLERK_SECRET_KEY", undefined, "Clerk could not be asked"],
  ];
  for (const [name, value, why, more = {}] of rows) {
    assert.throws(
      () => readSettings({ ...good, ...more, [name]: value }),
      (error) => {
        assert.ok(error instanceof SettingsError, why);
        assert.ok(error.message.startsWith(name), why);
        if (value?.length > 8) assert.ok(!error.message.includes(value), `${why}: the value is not repeated`);
        return true;
      },
    );
  }
});

test("the policy for CI jobs: it comes with its machines' keys, and none that is wrong comes at all", () => {
  const entry = {
    name: "shop",
    issuer: "https://ci.acme.dev",
    claims: { sub: "x" },
    machine: "CI_KEY",
    seconds: 300,
  };
  const env = { ...good, CI_KEY: "ak_0123456789abcdef" };
  assert.deepEqual(readSettings(env, [entry]).ci, [{ ...entry, secretKey: "ak_0123456789abcdef" }]);
  assert.throws(
    () => readSettings({ ...env, CI_KEY: "" }, [entry, { ...entry, name: "other", issuer: "x" }]),
    (error) => {
      assert.ok(error instanceof SettingsError);
      assert.match(
        error.message,
        /^lib\/cli-auth\/ci\.ts: entry 1 \(shop\): .*CI_KEY is not set; entry 2 \(other\): issuer/,
      );
      return true;
    },
  );
});

test("the issuer of a publishable key", () => {
  const key = (text, kind = "test") => `pk_${kind}_${Buffer.from(text).toString("base64")}`;
  assert.equal(issuerOfKey(key("clerk.acme.dev$", "live")), "https://clerk.acme.dev");
  assert.equal(issuerOfKey(key("clerk.acme.dev$").replaceAll("=", "")), "https://clerk.acme.dev");
  const rows = [
    ["", "nothing"],
    ["sk_test_Y2xlcmsuYWNtZS5kZXYk", "a secret key"],
    [key("clerk.acme.dev"), "no dollar sign"],
    [key("clerk.acme.dev$$"), "two dollar signs"],
    [key("localhost$"), "no dot"],
    [key("clerk.acme.dev/x$"), "a path"],
    [key("u@clerk.acme.dev$"), "a user name"],
    ["pk_test_***", "not base64"],
  ];
  for (const [wrong, why] of rows) assert.throws(() => issuerOfKey(wrong), SettingsError, why);
});
