// Reading an authorize request: what is taken, and the longer list of what is not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { compileLibrary } from "./compile.mjs";

const library = await compileLibrary();
const { authorizePath, parseAuthorize, parseQuery, parseRedirect } = library.load("request");

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/** @type {Record<string, string>} */
const good = {
  response_type: "code",
  client_id: "clerk-credential-helper",
  redirect_uri: "http://127.0.0.1:49152/callback",
  state: letters.slice(0, 43),
  code_challenge: letters.slice(-43),
  code_challenge_method: "S256",
};
const parse = (changes = {}) => parseAuthorize(new URLSearchParams({ ...good, ...changes }));

test("a complete request is read", () => {
  assert.deepEqual(parse({ machine_name: "ada's laptop", login_hint: "ada@acme.dev" }), {
    port: 49152,
    state: good.state,
    challenge: good.code_challenge,
    machine: "ada's laptop",
    loginHint: "ada@acme.dev",
  });
});

test("every port from 1024 to 65535 is read, and no other number", () => {
  for (let port = 0; port <= 70000; port++) {
    const read = parseRedirect(`http://127.0.0.1:${port}/callback`);
    assert.equal(read, port >= 1024 && port <= 65535 ? port : undefined, String(port));
  }
});

test("a redirect that a URL parser takes for the same place is refused unless it is written the one way", () => {
  // Whatever single character is put anywhere: either it makes another port, or it is refused.
  const uri = "http://127.0.0.1:4915/callback";
  const characters = [
    ..."\0\t\n\r !\"#$%&'()*+,-./0123456789:;<=>?@[\\]^_`aZ{|}~\u00a0\u2028\u3002\uff0e\uff10\u{1d7ce}",
  ];
  for (let at = 0; at <= uri.length; at++) {
    for (const character of characters) {
      const changed = uri.slice(0, at) + character + uri.slice(at);
      const port = parseRedirect(changed);
      if (port !== undefined) assert.equal(changed, `http://127.0.0.1:${port}/callback`);
    }
  }
});

test("labels: what a machine may call itself", () => {
  const allowed = [
    ["x", "one letter"],
    ["x".repeat(64), "64 letters"],
    ["😀".repeat(64), "64 code points of two units each"],
    ['ada\'s <b>laptop</b> & "more"', "markup is text, and escaped where it is shown"],
    ["עדה", "letters that run from right to left"],
    ["e\u0301\u0301\u0301", "marks on a letter"],
    [" x ", "spaces around something"],
  ];
  for (const [name, why] of allowed) assert.equal(parse({ machine_name: name }).machine, name, why);

  const refused = [
    ["x".repeat(65), "too long"],
    [" ", "a space only"],
    ["\u3000\u2003\u00a0", "spaces of other kinds only"],
    ["a\rb", "carriage return"],
    ["a\nb", "line feed"],
    ["a\r\nSet-Cookie: x=1", "a header of its own"],
    ["a\tb", "tab"],
    ["a\0b", "NUL"],
    ["a\u001b[2Jb", "terminal control"],
    ["a\u007fb", "delete"],
    ["a\u0085b", "next line"],
    ["a\u009bb", "a control character of the upper half"],
    ["a\u2028b", "line separator"],
    ["a\u2029b", "paragraph separator"],
    ["a\u202eb", "right-to-left override"],
    ["a\u202ab", "left-to-right embedding"],
    ["a\u2066b", "isolate"],
    ["a\u200eb", "left-to-right mark"],
    ["a\u061cb", "Arabic letter mark"],
    ["a\u200bb", "zero width space"],
    ["a\u200db", "zero width joiner"],
    ["a\ufeffb", "byte order mark"],
    ["a\u00adb", "soft hyphen"],
    ["a\u{e0041}b", "a tag letter, which is invisible"],
  ];
  for (const [name, why] of refused)
    assert.throws(() => parse({ machine_name: name }), { parameter: "machine_name" }, why);
  // A URL cannot carry half a pair, but the function does not rely on it.
  const half = new URLSearchParams(good);
  half.getAll = (name) => (name === "machine_name" ? ["a\ud800b"] : good[name] ? [good[name]] : []);
  assert.throws(() => parseAuthorize(half), { parameter: "machine_name" });
});

test("the hint may be longer, and is as plain", () => {
  assert.equal(parse({ login_hint: "a".repeat(320) }).loginHint.length, 320);
  for (const hint of ["a".repeat(321), "a\r\nb", "a\u202eb"]) {
    assert.throws(() => parse({ login_hint: hint }), { parameter: "login_hint" });
  }
});

test("an empty parameter is one that was left out", () => {
  assert.deepEqual(parse({ machine_name: "", login_hint: "" }), parse());
  for (const name of Object.keys(good)) assert.throws(() => parse({ [name]: "" }), { parameter: name });
});

test("each of ours once, also when both are the same or empty; others as often as they like", () => {
  for (const name of [...Object.keys(good), "machine_name", "login_hint"]) {
    for (const second of [good[name] ?? "x", ""]) {
      const params = new URLSearchParams({ machine_name: "x", login_hint: "x", ...good });
      params.append(name, second);
      assert.throws(() => parseAuthorize(params), { parameter: name }, name);
    }
  }
  const params = new URLSearchParams(good);
  for (const name of ["prompt", "prompt", "__clerk_db_jwt", "State"]) params.append(name, "x");
  assert.deepEqual(parseAuthorize(params), parse());
});

test("a query is read up to 8 KiB", () => {
  const query = `?${new URLSearchParams(good)}&filler=`;
  assert.equal(parseQuery(query + "x".repeat(8192 - query.length)).port, 49152);
  assert.throws(() => parseQuery(query + "x".repeat(8193 - query.length)), { parameter: "query" });
});

test("the path back holds the same request", () => {
  for (const changes of [{}, { machine_name: "a&b=c#d %41", login_hint: "ada+x@acme.dev" }]) {
    const asked = parse(changes);
    const path = authorizePath(asked);
    assert.ok(path.startsWith("/cli-auth?response_type=code&"));
    assert.deepEqual(parseQuery(path.slice(path.indexOf("?"))), asked);
  }
});

test("an error names the parameter and never its value", () => {
  const secret = "very-private-value";
  for (const name of Object.keys(good)) {
    assert.throws(
      () => parse({ [name]: secret }),
      (error) => error instanceof Error && error.message.includes(name) && !error.message.includes(secret),
    );
  }
});
