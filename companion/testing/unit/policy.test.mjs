// The policy for CI jobs: what an entry may say, that a mistake is named by its entry and without its value, and which
// values fit.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import ts from "typescript";
import { compileLibrary } from "./compile.mjs";

const library = await compileLibrary();
const { checkPolicy, mismatch } = library.load("policy");

/** @import { Wanted } from "../../lib/cli-auth/policy" */

const key = "ak_0123456789abcdef0123456789abcdef";
const place = {
  env: {
    CI_KEY: key,
    CI_DEPLOY_MACHINE_KEY: key,
    SHORT: "ak_",
    PUBLIC: "pk_live_0123456789",
    LINES: `${key}\n`,
    NEXT_PUBLIC_KEY: key,
    SECRET: "sk_live_0123456789",
  },
  origin: "https://app.acme.dev",
  clerk: "https://clerk.acme.dev",
};
const good = {
  name: "shop",
  issuer: "https://token.actions.githubusercontent.com",
  claims: { repository: "acme/shop", ref: "refs/heads/main" },
  machine: "CI_KEY",
  seconds: 900,
};
const check = (/** @type {object} */ changes, at = place) => checkPolicy([{ ...good, ...changes }], at);

test("none is a policy, and so is a good one", () => {
  for (const policy of [[], [good], [good, { ...good, name: "other", claims: { sub: "x" } }]]) {
    assert.deepEqual(checkPolicy(policy, place), { problems: [], warnings: [] });
  }
  const all = { organization: "org_2acme", format: "opaque", once: false, keyOrigins: ["https://keys.acme.dev"] };
  assert.deepEqual(check(all), { problems: [], warnings: [] });
  for (const seconds of [60, 3600]) assert.deepEqual(check({ seconds }).problems, []);
  for (const pattern of ["repo:acme/*:environment:prod", "system:serviceaccount:ci:*", "spiffe://acme.dev/*"]) {
    assert.deepEqual(check({ claims: { sub: { pattern } } }).problems, [], pattern);
  }
  assert.deepEqual(check({ claims: { ...good.claims, runner_id: 1, fresh: true } }).problems, []);
});

test("an issuer on this machine is for an app on this machine", () => {
  for (const issuer of ["http://127.0.0.1:8080", "http://localhost:8080/x", "http://[::1]:8080"]) {
    assert.deepEqual(check({ issuer }, { ...place, origin: "http://localhost:3000" }).problems, []);
    assert.match(check({ issuer }).problems.join(), /issuer must be https/);
  }
  for (const issuer of ["http://ci.acme.dev", "http://localhost.acme.dev", "http://127.0.0.1.acme.dev"]) {
    assert.match(check({ issuer }, { ...place, origin: "http://localhost:3000" }).problems.join(), /must be https/);
  }
});

test("what may not be said", () => {
  const claims = (/** @type {object} */ more, /** @type {object} */ base = good.claims) => ({
    claims: { ...base, ...more },
  });
  /** @type {(name: string, text: string, base?: object) => object} */
  const pattern = (name, text, base = good.claims) => claims({ [name]: { pattern: text } }, base);
  /** @type {[changes: object, words: string, why: string][]} */
  const rows = [
    [{ name: undefined }, "name", "no name"],
    [{ name: "Shop" }, "name", "capitals"],
    [{ name: "shop 1" }, "name", "a space"],
    [{ name: "x".repeat(65) }, "name", "too long"],
    [{ issuer: undefined }, "issuer", "no issuer"],
    [{ issuer: "token.actions.githubusercontent.com" }, "issuer", "no scheme"],
    [{ issuer: "http://ci.acme.dev" }, "https", "keys would come in the clear"],
    [{ issuer: "ftp://ci.acme.dev" }, "https", "another scheme"],
    [{ issuer: "https://ci.acme.dev?tenant=1" }, "query", "a query"],
    [{ issuer: "https://ci.acme.dev/?" }, "query", "an empty query"],
    [{ issuer: "https://ci.acme.dev#x" }, "fragment", "a fragment"],
    [{ issuer: "https://ci.acme.dev/#" }, "fragment", "an empty fragment"],
    [{ issuer: "https://u:p@ci.acme.dev" }, "user name", "a password"],
    [{ issuer: "https://CI.acme.dev" }, "lower case", "no token has it so"],
    [{ issuer: "https://ci.acme.dev:443" }, "default port", "no token has it so"],
    [{ issuer: "https://ci.acme.dev/a/../b" }, "written", "no token has it so"],
    [{ issuer: " https://ci.acme.dev" }, "written", "a space"],
    [{ issuer: "https://app.acme.dev" }, "not this app", "the app itself"],
    [{ issuer: "https://clerk.acme.dev" }, "not this app", "every person's token would be a job's"],
    [{ issuer: ["https://ci.acme.dev"] }, "issuer", "a list"],
    [{ machine: undefined }, "machine", "no machine"],
    [{ machine: key }, "NAME", "the key itself"],
    [{ machine: "NEXT_PUBLIC_KEY" }, "browser", "the build would publish it"],
    [{ machine: "MISSING" }, "MISSING is not set", "no such variable"],
    [{ machine: "SHORT" }, "SHORT does not hold", "no key in it"],
    [{ machine: "SECRET" }, "SECRET does not hold", "the instance's key, which does far more"],
    [{ machine: "PUBLIC" }, "PUBLIC does not hold", "a publishable key"],
    [{ machine: "LINES" }, "LINES does not hold", "a line feed, as a file has one"],
    [{ seconds: undefined }, "seconds", "no life"],
    [{ seconds: 59 }, "seconds", "too short"],
    [{ seconds: 3601 }, "seconds", "more than an hour"],
    [{ seconds: 90.5 }, "seconds", "half a second"],
    [{ seconds: "900" }, "seconds", "text"],
    [{ seconds: Number.POSITIVE_INFINITY }, "seconds", "for ever"],
    [{ organization: "acme" }, "organization", "a name in place of an id"],
    [{ organization: "" }, "organization", "empty"],
    [{ format: "JWT" }, "format", "capitals"],
    [{ once: "no" }, "once", "text"],
    [{ keyOrigins: "https://keys.acme.dev" }, "keyOrigins", "no list"],
    [{ keyOrigins: ["http://keys.acme.dev"] }, "keyOrigins", "in the clear"],
    [{ keyOrigins: ["https://keys.acme.dev/"] }, "keyOrigins", "a slash"],
    [{ keyOrigins: ["*"] }, "keyOrigins", "everything"],
    [{ audience: "" }, "audience", "empty"],
    [{ audience: ["a", "b"] }, "audience", "a list"],
    [{ audiences: "x" }, '"audiences"', "an unknown property"],
    [{ secretKey: key }, '"secretKey"', "a key in an unknown property"],
    [{ subject: "x" }, '"subject"', "a claim outside of claims"],
    [{ claims: undefined }, "claims", "none"],
    [{ claims: {} }, "whose job", "every job of the CI"],
    [{ claims: [] }, "claims", "a list"],
    [{ claims: { ref: "refs/heads/main" } }, "whose job", "everybody's main"],
    [{ claims: { environment: "production" } }, "whose job", "everybody's production"],
    [{ claims: { actor: "ada", event_name: "push" } }, "whose job", "who starts a job"],
    [{ claims: { pipeline_slug: "shop" } }, "whose job", "everybody's pipeline of that name"],
    [{ claims: { repository_owner_visibility: "x", repositoryx: "acme/shop" } }, "whose job", "other names"],
    [claims({ iss: "x" }), '"iss" is checked', "it has its own rule"],
    [claims({ aud: "x" }), '"aud" is checked', "it has its own rule"],
    [claims({ exp: 1 }), '"exp" is checked', "it has its own rule"],
    [claims({ jti: "x" }), '"jti" is checked', "it has its own rule"],
    [claims({ "": "x" }), "name", "a claim without a name"],
    [claims({ ref: "" }), '"ref" must be', "empty"],
    [claims({ ref: null }), '"ref" must be', "null"],
    [claims({ ref: undefined }), '"ref" must be', "a value that was not found"],
    [claims({ ref: ["a"] }), '"ref" must be', "a list"],
    [claims({ ref: /x/ }), '"ref" must be', "a regular expression"],
    [claims({ ref: Number.NaN }), '"ref" must be', "no number"],
    [claims({ ref: "x".repeat(1025) }), '"ref" must be', "too long"],
    [claims({ ref: {} }), '"ref" must be', "an empty object"],
    [claims({ ref: { pattern: "v*", flags: "i" } }), '"ref" must be', "an unknown property"],
    [claims({ ref: { pattern: 5 } }), '"ref" must be', "a pattern that is a number"],
    [pattern("ref", "refs/heads/main"), "plain text", "no * in it"],
    [pattern("ref", "*"), "matches everything", "everything"],
    [pattern("ref", "*/*"), "matches everything", "everything with a slash"],
    [pattern("ref", ":*/"), "matches everything", "no letter"],
    [pattern("ref", "v**"), "apart", "two together"],
    [pattern("ref", "a*b*c*"), "one or two", "three"],
    [pattern("repository", "*"), "matches everything", "every repository"],
    [pattern("repository", "*/shop"), "strangers", "everybody's shop"],
    [pattern("repository", "acme*"), "strangers", "acme-evil/x"],
    [pattern("repository", "acme*/shop"), "strangers", "acme-evil/shop"],
    [pattern("repository_id", "12*"), "strangers", "a part of a number"],
    [pattern("project_path", "*/acme/shop"), "strangers", "another group"],
    [pattern("sub", "repo:*"), "strangers", "every repository"],
    [pattern("sub", "repo:*/shop:ref:refs/heads/main"), "strangers", "everybody's shop"],
    [pattern("sub", "repo:acme*:ref:refs/heads/main"), "strangers", "acme-evil"],
    [pattern("sub", "spiffe://*"), "strangers", "every trust domain"],
    [pattern("sub", "spiffe://acme*"), "strangers", "acme.evil.com"],
    [pattern("sub", "*:acme/shop"), "strangers", "anything before"],
  ];
  for (const [changes, words, why] of rows) {
    const { problems } = check(changes);
    assert.ok(problems.length > 0, why);
    const text = problems.join("\n");
    assert.ok(text.includes(words), `${why}: ${text}`);
    for (const problem of problems) assert.match(problem, /^entry 1( \(shop\))?: /, why);
    assert.ok(!text.includes(key) && !text.includes("sk_live"), `${why}: a value is repeated`);
  }
});

test("a policy that is no list of entries, and one with doubles", () => {
  for (const policy of [undefined, null, {}, "x", 5]) {
    assert.deepEqual(checkPolicy(policy, place).problems, ["policy must be a list of entries"]);
  }
  for (const entry of [null, "x", 5, [], [good]]) {
    assert.deepEqual(checkPolicy([good, entry], place).problems, ["entry 2: it must be an object"]);
  }
  const two = (/** @type {object} */ changes) => checkPolicy([good, { ...good, ...changes }], place).problems;
  assert.deepEqual(two({ claims: { sub: "x" } }), ["entry 2 (shop): another entry has the same name"]);
  const { repository, ref } = good.claims;
  const same = ["entry 2 (other): another entry has the same issuer and claims"];
  assert.deepEqual(two({ name: "other" }), same);
  assert.deepEqual(two({ name: "other", claims: { ref, repository }, seconds: 60 }), same, "in another order");
  assert.deepEqual(two({ name: "other", issuer: "https://gitlab.com" }), []);
  const many = Array.from({ length: 101 }, (_, at) => ({ ...good, name: `n${at}`, claims: { sub: `s${at}` } }));
  assert.deepEqual(checkPolicy(many, place).problems, ["policy has more than 100 entries"]);
});

test("what is only dangerous is a warning, with the entry's name", () => {
  const repository = "acme/shop";
  const ref = "refs/heads/main";
  /** @type {[claims: object, words: string, why: string][]} */
  const rows = [
    [{ repository, ref, head_ref: "main" }, "head_ref is chosen", "a fork names its branch as it likes"],
    [{ repository, ref, actor: "ada" }, "actor is chosen", "who starts a job"],
    [{ repository, ref, actor_id: "1" }, "actor_id is chosen", "who starts a job"],
    [{ project_id: "1", ref_path: ref, user_login: "ada" }, "user_login is chosen", "who starts a job"],
    [{ repository, ref, event_name: "pull_request" }, "event_name lets in", "pull requests"],
    [{ repository, ref, event_name: "pull_request_target" }, "event_name lets in", "with the branch's own ref"],
    [{ repository, ref, event_name: { pattern: "pull*" } }, "event_name lets in", "a pattern of them"],
    [{ project_id: "1", ref_path: ref, pipeline_source: "merge_request_event" }, "pipeline_source lets in", "GitLab's"],
    [{ repository }, "no claim names a branch", "every branch"],
    [{ repository, workflow: "deploy" }, "no claim names a branch", "a pull request can change the workflow"],
    [{ sub: { pattern: "repo:acme/shop:*" } }, "no claim names a branch", "every branch"],
    [{ project_path: "acme/shop", ref: "main" }, "ref without ref_type", "a tag named main"],
  ];
  for (const [claims, words, why] of rows) {
    const { problems, warnings } = check({ claims });
    assert.deepEqual(problems, [], why);
    assert.equal(warnings.length, 1, `${why}: ${warnings}`);
    assert.ok(warnings[0].startsWith("entry 1 (shop): ") && warnings[0].includes(words), `${why}: ${warnings}`);
  }
  assert.match(check({ audience: "api://x" }).warnings.join(), /^entry 1 \(shop\): audience is not CLI_AUTH_ORIGIN/);
  for (const event_name of ["push", "release"]) {
    assert.deepEqual(check({ claims: { repository, ref, event_name } }).warnings, []);
  }
});

test("a value fits if it is equal, or the pattern matches all of it", () => {
  const fits = (/** @type {Wanted} */ wanted, /** @type {unknown} */ value) =>
    mismatch({ ...good, claims: { x: wanted } }, { x: value }) === undefined;
  /** @type {[wanted: Wanted, value: unknown][]} */
  const fitting = [
    ["a", "a"],
    [1, 1],
    [true, true],
    [false, false],
    [{ pattern: "v*" }, "v1.2-3_4+5"],
    [{ pattern: "a/*/b" }, "a/x/b"],
    [{ pattern: "*-*" }, "a-b-c"],
    [{ pattern: "a.c[d](e)|f+g?h^i$j{k}\\l*" }, "a.c[d](e)|f+g?h^i$j{k}\\lx"],
  ];
  for (const [wanted, value] of fitting) {
    assert.ok(fits(wanted, value), `${JSON.stringify(wanted)} ${value}`);
  }
  /** @type {[wanted: Wanted, value: unknown][]} */
  const others = [
    ["a", "A"],
    ["a", ["a"]],
    ["a", undefined],
    ["1", 1],
    [1, "1"],
    [1, true],
    [true, "true"],
    [true, 1],
    [false, undefined],
    [false, null],
    [false, 0],
    [{ pattern: "a.c*" }, "abcx"],
    [{ pattern: "v*" }, "v"],
    [{ pattern: "v*" }, "v1\n"],
    [{ pattern: "v*" }, "v1 2"],
    [{ pattern: "v*" }, "v\u00e9"],
    [{ pattern: "v*" }, ["v1"]],
    [{ pattern: "v*" }, { toString: () => "v1" }],
    [{ pattern: "a|b*" }, "a"],
    [{ pattern: "a-z*" }, "bx"],
    [{ pattern: "v*" }, `v${"1".repeat(1024)}`],
  ];
  for (const [wanted, value] of others) {
    assert.ok(!fits(wanted, value), `${JSON.stringify(wanted)} ${JSON.stringify(value)}`);
  }
  assert.equal(
    mismatch({ ...good, claims: { a: "1", toString: "x" } }, { a: "1" }),
    "toString",
    "an inherited name is no claim",
  );
  const began = performance.now();
  for (let times = 0; times < 100; times++) fits({ pattern: "a*a*b" }, "a".repeat(1024));
  assert.ok(performance.now() - began < 10_000, "no value makes a search long");
});

test("a pull request's job fits only where the entry names the event", () => {
  const claims = { repository: "acme/shop" };
  const entry = { ...good, claims };
  for (const event_name of ["pull_request", "pull_request_target", "pull_request_review_comment", 5, null, ["push"]]) {
    assert.equal(mismatch(entry, { ...claims, event_name }), "event_name");
  }
  for (const pipeline_source of ["merge_request_event", "external_pull_request_event"]) {
    assert.equal(mismatch(entry, { ...claims, pipeline_source }), "pipeline_source");
  }
  const named = { ...claims, event_name: "pull_request" };
  assert.equal(mismatch({ ...good, claims: named }, named), undefined);
  assert.equal(mismatch({ ...good, claims: named }, { ...claims, event_name: "push" }), "event_name");
  assert.equal(mismatch(entry, { ...claims, event_name: "push", pipeline_source: "push" }), undefined);
});

// ---- the entries that ci.ts has in comments ----

const folder = join(import.meta.dirname, "..", "..", "lib", "cli-auth");
const source = await readFile(join(folder, "ci.ts"), "utf8");
// Code in a comment begins with a brace, or is indented; prose does neither.
const taken = source.replace(/^ {2}\/\/ (\{$|\},$| {2}.*)/gm, "  $1");

/**
 * What the compiler says of ci.ts with this text, as strictly as of the app.
 * @param {string} text
 */
function diagnostics(text) {
  const config = join(folder, "..", "..", "tsconfig.json");
  const { options } = ts.parseJsonConfigFileContent(
    ts.readConfigFile(config, ts.sys.readFile).config,
    ts.sys,
    dirname(config),
  );
  const host = ts.createCompilerHost(options);
  const read = host.getSourceFile;
  const ci = join(folder, "ci.ts");
  host.getSourceFile = (name, language) =>
    name === ci ? ts.createSourceFile(name, text, language) : read(name, language);
  const program = ts.createProgram([ci], { ...options, types: [], plugins: [], incremental: false }, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
}

test("ci.ts has no entry; those in its comments compile and are good", () => {
  assert.deepEqual(library.load("ci").policy, []);
  assert.deepEqual(diagnostics(taken), []);
  const { outputText } = ts.transpileModule(taken, { compilerOptions: { module: ts.ModuleKind.CommonJS } });
  /** @type {{ policy: import("../../lib/cli-auth/policy").Policy }} */
  const exports = { policy: [] };
  new Function("exports", outputText)(exports);
  const names = exports.policy.map(({ name }) => name.split("-")[0]);
  assert.deepEqual(names, ["github", "gitlab", "circleci", "bitbucket", "azure", "buildkite", "kubernetes", "spiffe"]);
  const { problems, warnings } = checkPolicy(exports.policy, place);
  assert.deepEqual(problems, []);
  assert.deepEqual(warnings, [
    "entry 5 (azure-main): audience is not CLI_AUTH_ORIGIN: another service that gets such a token can use it here",
  ]);
});

test("the compiler finds what is wrong with an entry", () => {
  let text = taken;
  for (const [from, to] of [
    ['name: "github-production"', 'nam: "github-production"'],
    ['ref: "main"', 'ref: ["main"]'],
    ["seconds: 900,\n  },\n  //\n  // Buildkite", 'seconds: "900",\n  },\n  //\n  // Buildkite'],
  ]) {
    assert.ok(text.includes(from), from);
    text = text.replace(from, to);
  }
  assert.equal(diagnostics(text).length, 3);
});
