// The settings: what an operator may write, and that every mistake is named without its value.

import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { test } from "node:test";
import { compileLibrary } from "./compile.mjs";

const library = await compileLibrary();
const { issuerOfKey, readSettings, SettingsError } = library.load("settings");

process.env.NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY = "pk_test_bm90ZWQtbGFiLTQyLmNsZXJrLmFjY291bnRzLmRldiQ";
delete process.env.NEXT_PUBLIC_CLERK_PROXY_URL;
const [secret, other] = ["9f86d081884c7d659a2feaa0c55ad015", "Zm9yIHRoZSB0ZXN0cywgYW5kIGZvciBub3RoaW5n"];
const pem = "-----BEGIN CERTIFICATE-----\nMIIB+/=\n-----END CERTIFICATE-----\n";
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
    hourly: { person: 300, address: 3000, proxies: 0 },
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
  assert.deepEqual(readSettings(kv).store, { kind: "rest", url: "https://kv.acme.dev/", token: "t" });
  const server = { host: "kv.acme.dev", port: 6379, user: "", password: "", database: "", tls: undefined };
  const full = { ...server, port: 7000, user: "app", password: "p@ss/?#", database: "3", tls: { ca: undefined } };
  const pg = { ...server, host: "db.acme.dev", port: 5432, user: "app", password: "p w", database: "cli" };
  const tls = { ca: undefined };
  /** @type {[text: string, store: object][]} */
  const stores = [
    ["redis://kv.acme.dev", { kind: "redis", server }],
    ["redis://[::1]:7000/", { kind: "redis", server: { ...server, host: "::1", port: 7000 } }],
    ["redis://:pw@kv.acme.dev/0", { kind: "redis", server: { ...server, password: "pw", database: "0" } }],
    ["rediss://app:p%40ss%2F%3F%23@kv.acme.dev:7000/3", { kind: "redis", server: full }],
    ["postgres://app:p%20w@db.acme.dev/cli", { kind: "postgres", server: { ...pg, tls }, channelBinding: false }],
    [
      "postgresql://app:p%20w@localhost/cli",
      { kind: "postgres", server: { ...pg, host: "localhost" }, channelBinding: false },
    ],
    ["postgres://app:p%20w@db.acme.dev/cli?sslmode=disable", { kind: "postgres", server: pg, channelBinding: false }],
    [
      "postgres://app:p%20w@localhost:5433/cli?sslmode=require&channel_binding=require",
      { kind: "postgres", server: { ...pg, host: "localhost", port: 5433, tls }, channelBinding: true },
    ],
  ];
  for (const [text, store] of stores) {
    assert.deepEqual(readSettings({ ...good, CLI_AUTH_STORE: text }).store, store, text);
  }
  for (const CLI_AUTH_STORE_CA of [pem, pem.replaceAll("\n", "\\n"), `${pem}${pem}`]) {
    const { store } = readSettings({ ...good, CLI_AUTH_STORE: "rediss://kv.acme.dev", CLI_AUTH_STORE_CA });
    assert.ok(store.kind === "redis");
    assert.equal(store.server.tls?.ca, CLI_AUTH_STORE_CA.replaceAll("\\n", "\n"));
  }
});

test("the company's file", () => {
  const file = { version: 1, profiles: { acme: { companion: "https://app.acme.dev", hosts: ["git.acme.dev"] } } };
  const set = (/** @type {string} */ text) => readSettings({ ...good, CLI_AUTH_COMPANY: text }).company;
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
  /** @type {[name: string, value: string | undefined, why: string, more?: Record<string, string>][]} */
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
    ["CLI_AUTH_PERSON_PER_HOUR", "-1", "negative"],
    ["CLI_AUTH_PERSON_PER_HOUR", "ten", "a word"],
    ["CLI_AUTH_ADDRESS_PER_HOUR", "1e3", "not digits"],
    ["CLI_AUTH_ADDRESS_PER_HOUR", "9999999", "too many"],
    ["CLI_AUTH_PROXIES", "10", "more than there can be"],
    ["CLI_AUTH_PROXIES", "1.5", "half a proxy"],
    ["CLI_AUTH_TEMPLATE", "../x", "it becomes part of a path"],
    ["CLI_AUTH_TEMPLATE", "x".repeat(65), "too long"],
    ["CLI_AUTH_STORE", "mysql://kv.acme.dev", "another scheme"],
    ["CLI_AUTH_STORE", "redis:kv.acme.dev", "no host"],
    ["CLI_AUTH_STORE", "redis://:secret/password@kv.acme.dev", "a slash that is not encoded"],
    ["CLI_AUTH_STORE", "redis://:secret#password@kv.acme.dev", "nor is a hash"],
    ["CLI_AUTH_STORE", "redis://:100%secret@kv.acme.dev", "a percent sign for itself"],
    ["CLI_AUTH_STORE", "redis://kv.acme.dev/cache", "databases have numbers"],
    ["CLI_AUTH_STORE", "redis://kv.acme.dev/0?tls=true", "a query that is not read"],
    ["CLI_AUTH_STORE", "redis://kv.acme.dev:70000", "no such port"],
    ["CLI_AUTH_STORE", "redis+socket:///run/redis.sock", "a socket"],
    ["CLI_AUTH_STORE", "postgres://db.acme.dev/cli", "no user"],
    ["CLI_AUTH_STORE", "postgres://app:secret@db.acme.dev", "no database"],
    ["CLI_AUTH_STORE", "postgres://app:secret@db.acme.dev/", "an empty one"],
    ["CLI_AUTH_STORE", "postgres://app:secret@db.acme.dev/cli?sslmode=prefer", "TLS that gives way"],
    ["CLI_AUTH_STORE", "postgres://app:secret@db.acme.dev/cli?sslmode=no-verify", "TLS that verifies nothing"],
    ["CLI_AUTH_STORE", "postgres://app:secret@db.acme.dev/cli?sslmode=", "no mode"],
    ["CLI_AUTH_STORE", "postgres://app:secret@db.acme.dev/cli?sslmode=require&sslmode=disable", "two of them"],
    ["CLI_AUTH_STORE", "postgres://app:secret@db.acme.dev/cli?channel_binding=maybe", "no such word"],
    ["CLI_AUTH_STORE", "postgres://app:secret@db.acme.dev/cli?options=-csearch_path=x", "an option that is not read"],
    ["CLI_AUTH_STORE", "postgres://app:secret@db.acme.dev/cli?host=evil.example", "another host"],
    ["CLI_AUTH_STORE_CA", "ca.pem", "the name of a file", { CLI_AUTH_STORE: "rediss://kv.acme.dev" }],
    ["CLI_AUTH_STORE_CA", `${pem}-----BEGIN PRIVATE KEY-----`, "a key", { CLI_AUTH_STORE: "rediss://kv.acme.dev" }],
    ["CLI_AUTH_STORE_CA", pem, "a connection in the clear", { CLI_AUTH_STORE: "redis://kv.acme.dev" }],
    ["CLI_AUTH_STORE_CA", pem, "the same", { CLI_AUTH_STORE: "postgres://app@localhost/cli" }],
    [
      "CLI_AUTH_STORE_CA",
      pem,
      "which it does not reach",
      { CLI_AUTH_STORE: "https://kv.acme.dev", CLI_AUTH_STORE_TOKEN: "t" },
    ],
    ["CLI_AUTH_STORE_CA", pem, "no store"],
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
        if (value && value.length > 8) assert.ok(!error.message.includes(value), `${why}: the value is not repeated`);
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
  const key = (/** @type {string} */ text, kind = "test") => `pk_${kind}_${Buffer.from(text).toString("base64")}`;
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
