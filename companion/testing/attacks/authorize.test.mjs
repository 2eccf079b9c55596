// Attacks on the authorize request: an address that a person is made to open, with parameters of the attacker's choice.
// Each is tried on the page, signed in and signed out, and on the consent form's route, which must not rely on the page.

import assert from "node:assert/strict";
import { request as plainRequest } from "node:http";
import { after, before, test } from "node:test";
import {
  asking,
  assertPageHeaders,
  clerkForTests,
  cookieHeader,
  filled,
  openPage,
  port,
  sendForm,
  signIn,
  startApp,
} from "./app.mjs";

/** @import { App, Changes, Clerk, Session } from "./app.mjs" */

/** @type {Clerk} */
let clerk;
/** @type {App} */
let app;
/** @type {Session} */
let ada;
/** @type {string} */
let nobody;

before(async () => {
  clerk = await clerkForTests();
  app = await startApp(clerk);
  ada = await signIn(app);
  nobody = cookieHeader((await clerk.control("/browser", {})).cookies);
});
after(async () => {
  await app?.stop();
  await clerk?.close();
});

const redirect = (/** @type {string} */ rest) => ({ redirect_uri: `http://127.0.0.1${rest}` });
const uri = (/** @type {string | undefined} */ redirect_uri) => ({ redirect_uri });
/** @type {(name: string, value: string) => [string, string][]} */
const repeat = (name, value) => [[name, value]];

/**
 * The parameter that the page must name, the change (pairs come on top), why it must be refused, and what else is sent.
 * @type {[name: string, change: Changes | [string, string][], why: string, more?: Changes][]}
 */
const rows = [
  ["redirect_uri", uri(undefined), "no redirect at all"],
  ["redirect_uri", redirect(":80@evil.com/callback"), "the number is a password, evil.com is the host"],
  ["redirect_uri", redirect(":49152@evil.com/callback"), "the same with a good number"],
  ["redirect_uri", redirect("@evil.com:49152/callback"), "the address is a user name"],
  ["redirect_uri", redirect(":49152.evil.com/callback"), "no number any more"],
  ["redirect_uri", redirect(".evil.com:49152/callback"), "a host that begins with the address"],
  ["redirect_uri", redirect(":0x50/callback"), "a hexadecimal port"],
  ["redirect_uri", redirect(":80#/callback"), "the fragment eats the path"],
  ["redirect_uri", redirect(":49152#/callback"), "the same with a good number"],
  ["redirect_uri", redirect(":-49152/callback"), "a negative port"],
  ["redirect_uri", redirect(":65536/callback"), "one past the last port"],
  ["redirect_uri", redirect(":114688/callback"), "49152 after 16 bits wrap round"],
  ["redirect_uri", redirect(":0/callback"), "no port"],
  ["redirect_uri", redirect(":80/callback"), "a service of the system, not a helper"],
  ["redirect_uri", redirect(":1023/callback"), "the last of the system's ports"],
  ["redirect_uri", redirect(":049152/callback"), "a leading zero"],
  ["redirect_uri", redirect(":+49152/callback"), "a sign"],
  ["redirect_uri", redirect(":49152.0/callback"), "a fraction"],
  ["redirect_uri", redirect(":5e4/callback"), "an exponent"],
  ["redirect_uri", redirect(": 49152/callback"), "a space"],
  ["redirect_uri", redirect(":４９１５２/callback"), "digits of another script"],
  ["redirect_uri", redirect(":/callback"), "an empty port"],
  ["redirect_uri", redirect("/callback"), "port 80 by default"],
  ["redirect_uri", uri("http://localhost:49152/callback"), "a name that may lead elsewhere"],
  ["redirect_uri", uri("http://[::1]:49152/callback"), "another loopback, where another program may listen"],
  ["redirect_uri", uri("http://[::ffff:127.0.0.1]:49152/callback"), "the address in another family"],
  ["redirect_uri", uri("http://127.0.0.2:49152/callback"), "another loopback address"],
  ["redirect_uri", uri("http://127.1:49152/callback"), "a short form of the address"],
  ["redirect_uri", uri("http://2130706433:49152/callback"), "the address as one number"],
  ["redirect_uri", uri("http://0177.0.0.1:49152/callback"), "the address in octal"],
  ["redirect_uri", uri("http://0.0.0.0:49152/callback"), "every address of the machine"],
  ["redirect_uri", uri("http://127.0.0.1.:49152/callback"), "a trailing dot"],
  ["redirect_uri", uri("https://127.0.0.1:49152/callback"), "https"],
  ["redirect_uri", uri("HTTP://127.0.0.1:49152/callback"), "another spelling of the scheme"],
  ["redirect_uri", uri("http:/\\127.0.0.1:49152/callback"), "a backslash"],
  ["redirect_uri", uri("//127.0.0.1:49152/callback"), "no scheme"],
  ["redirect_uri", uri("javascript:alert(1)//http://127.0.0.1:49152/callback"), "a script"],
  ["redirect_uri", uri("https://evil.com/http://127.0.0.1:49152/callback"), "the address inside another"],
  ["redirect_uri", redirect(":49152/"), "another path"],
  ["redirect_uri", redirect(":49152/callback/"), "a slash more"],
  ["redirect_uri", redirect(":49152/Callback"), "a capital letter"],
  ["redirect_uri", redirect(":49152//callback"), "two slashes"],
  ["redirect_uri", redirect(":49152/x/../callback"), "a path that leads to the same place"],
  ["redirect_uri", redirect(":49152/call%62ack"), "an escaped letter"],
  ["redirect_uri", redirect(":49152/callback?code=x"), "a query, which would stand before ours"],
  ["redirect_uri", redirect(":49152/callback#x"), "a fragment, which would hide ours"],
  ["redirect_uri", redirect(":49152/callback#"), "an empty fragment"],
  ["redirect_uri", uri("http://ada@127.0.0.1:49152/callback"), "a user name"],
  ["redirect_uri", uri("http://:@127.0.0.1:49152/callback"), "an empty user name"],
  ["redirect_uri", redirect(":491\t52/callback"), "a tab, which URL parsers drop"],
  ["redirect_uri", redirect(":491\n52/callback"), "a line feed, which URL parsers drop"],
  ["redirect_uri", redirect(":49152/callback\n"), "a line feed at the end"],
  ["redirect_uri", redirect(":49152/callback\r\nset-cookie: x=1"), "a header of its own"],
  ["redirect_uri", redirect(":49152/callback\0"), "NUL at the end"],
  ["redirect_uri", uri(` http://127.0.0.1:49152/callback`), "a space before it"],
  ["redirect_uri", repeat("redirect_uri", "http://127.0.0.1:49153/callback"), "two: readers may take either"],
  ["redirect_uri", repeat("redirect_uri", `http://127.0.0.1:${port}/callback`), "two of the same"],
  ["redirect_uri", repeat("redirect_uri", ""), "a second one that is empty"],

  ["code_challenge", { code_challenge: undefined }, "no PKCE: who takes the code has the token"],
  ["code_challenge", { code_challenge: "c".repeat(42) }, "too short for SHA-256"],
  ["code_challenge", { code_challenge: "c".repeat(44) }, "too long"],
  ["code_challenge", { code_challenge: `${"c".repeat(42)}=` }, "padding"],
  ["code_challenge", { code_challenge: `${"c".repeat(42)}+` }, "the other base64"],
  ["code_challenge", { code_challenge: `${"c".repeat(43)}\n` }, "a line feed at the end"],
  ["code_challenge", repeat("code_challenge", "d".repeat(43)), "two"],
  ["code_challenge_method", { code_challenge_method: "plain" }, "the challenge would be the verifier, in a URL"],
  ["code_challenge_method", { code_challenge_method: undefined }, "left out, it means plain"],
  ["code_challenge_method", { code_challenge_method: "s256" }, "another spelling"],
  ["code_challenge_method", repeat("code_challenge_method", "plain"), "two"],

  ["state", { state: undefined }, "no state: an unsolicited callback"],
  ["state", { state: "s".repeat(42) }, "too short"],
  ["state", { state: "s".repeat(44) }, "too long"],
  ["state", { state: `${"s".repeat(41)}\r\n` }, "a line break in a redirect"],
  ["state", { state: `${"s".repeat(40)}&x=` }, "another parameter in it"],
  ["state", repeat("state", "s".repeat(43)), "two"],

  ["response_type", { response_type: undefined }, "left out"],
  ["response_type", { response_type: "token" }, "a token in a URL"],
  ["response_type", { response_type: "code token" }, "the same beside a code"],
  ["response_type", repeat("response_type", "token"), "two"],
  ["client_id", { client_id: undefined }, "no client"],
  ["client_id", { client_id: "another-client" }, "another client"],
  ["client_id", { client_id: "clerk-credential-helper " }, "a space more"],
  ["client_id", { client_id: "Clerk-Credential-Helper" }, "another spelling"],
  ["client_id", repeat("client_id", "clerk-credential-helper"), "two"],

  ["machine_name", { machine_name: "x".repeat(65) }, "long enough to push the warning away"],
  ["machine_name", { machine_name: "ada\r\nset-cookie: x=1" }, "a header of its own"],
  ["machine_name", { machine_name: "ada\nyou may trust it" }, "a line of its own"],
  ["machine_name", { machine_name: "ada\0" }, "NUL"],
  ["machine_name", { machine_name: "ada\u202eresu" }, "letters that run backwards"],
  ["machine_name", { machine_name: "ada\u2066x" }, "an isolate that is never closed"],
  ["machine_name", { machine_name: "\u200b\u200b" }, "nothing that can be seen"],
  ["machine_name", { machine_name: "   " }, "nothing that can be seen, again"],
  ["machine_name", { machine_name: "ada\u2028x" }, "a line separator"],
  ["machine_name", repeat("machine_name", "bob"), "two", { machine_name: "ada" }],
  ["login_hint", { login_hint: "a".repeat(321) }, "too long"],
  ["login_hint", { login_hint: "ada@acme.dev\r\nx: y" }, "a header of its own"],
  ["login_hint", { login_hint: "ada\u202e@acme.dev" }, "letters that run backwards"],
  ["login_hint", repeat("login_hint", "bob@acme.dev"), "two", { login_hint: "ada@acme.dev" }],
];

for (const [name, change, why, more = {}] of rows) {
  test(`${name}: ${why}`, async () => {
    const { params } = asking({ ...more, ...(Array.isArray(change) ? {} : change) });
    const pairs = [...Object.entries(params), ...(Array.isArray(change) ? change : [])];
    const answers = {
      "signed in": await openPage(app, pairs, ada),
      "signed out": await openPage(app, pairs, { cookie: nobody }),
      "an unknown browser": await openPage(app, pairs),
      form: await sendForm(app, [...pairs, ...Object.entries(filled({}, ada))], ada),
    };
    for (const [where, answer] of Object.entries(answers)) {
      const text = await answer.text();
      assert.equal(answer.status, 400, `${where}: ${text}`);
      assert.equal(answer.headers.get("location"), null, where);
      assert.equal(answer.headers.get("set-cookie"), null, where);
      assert.match(text, new RegExp(`The parameter ${name} is missing or wrong`), where);
      assertPageHeaders(answer, "'self'", where);
      const value = Array.isArray(change) ? change[0][1] : change[name];
      if (value && value.length > 3) assert.ok(!text.includes(value), `${where}: the value is repeated`);
    }
  });
}

test("what a helper may send is taken, so the rows above are refused for their own reason", async () => {
  const good = [
    {},
    { redirect_uri: "http://127.0.0.1:1024/callback" },
    { redirect_uri: "http://127.0.0.1:65535/callback" },
    { machine_name: "😀".repeat(64) },
    { machine_name: "", login_hint: "" },
    { login_hint: "a".repeat(320) },
  ];
  for (const change of good) {
    const { params } = asking(change);
    const pairs = [...Object.entries(params), ["unknown", "1"], ["unknown", "2"]];
    const page = await openPage(app, pairs, ada);
    assert.equal(page.status, 200, JSON.stringify(change));
    assert.match(await page.text(), /value="approve"/);
    const answer = await sendForm(app, filled(params, ada), ada);
    assert.equal(answer.status, 303, JSON.stringify(change));
    assert.ok(answer.headers.get("location")?.startsWith(`${params.redirect_uri}?code=`));
  }
});

test("the page is shown with headers against frames, signed in or not", async () => {
  const { params } = asking();
  const formAction = `'self' http://127.0.0.1:${port}`;
  const signedOut = await openPage(app, params, { cookie: nobody });
  assert.equal(signedOut.status, 200);
  assert.doesNotMatch(await signedOut.text(), /value="approve"/);
  assertPageHeaders(signedOut, formAction, "signed out");
  assertPageHeaders(await openPage(app, params, ada), formAction, "signed in");
  const handshake = await openPage(app, params);
  assert.equal(handshake.status, 307, "Clerk makes the browser known first");
  assertPageHeaders(handshake, formAction, "on the way to Clerk");
});

test("the page is nothing but a document: no frame, no part that a router fetches", async () => {
  const { params } = asking();
  for (const destination of ["iframe", "frame", "embed", "object", "empty", "script", "image"]) {
    const answer = await openPage(app, params, { ...ada, headers: { "sec-fetch-dest": destination } });
    assert.equal(answer.status, 400, destination);
    assertPageHeaders(answer, "'self'", destination);
    assert.doesNotMatch(await answer.text(), /approve/, destination);
  }
});

test("the page is read, not posted to", async () => {
  for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
    const answer = await fetch(`${app.origin}/cli-auth?${new URLSearchParams(asking().params)}`, {
      method,
      headers: { cookie: ada.cookie },
    });
    assert.equal(answer.status, 405, method);
    assert.equal(answer.headers.get("allow"), "GET, HEAD", method);
    assertPageHeaders(answer, "'self'", method);
  }
});

test("the label is text: markup in it stays on the page as it was written", async () => {
  const evil = `"><script>alert(1)</script><img src=x onerror=a()>&amp;`;
  const { params } = asking({ machine_name: evil, login_hint: `<b onclick='x'>"` });
  for (const who of [ada, { cookie: nobody }]) {
    const page = await openPage(app, params, who);
    assert.equal(page.status, 200);
    const text = (await page.text()).replaceAll("<!-- -->", "");
    assert.ok(!text.includes("<script>alert"), "no script of theirs");
    assert.ok(!text.includes("<img src=x"), "no element of theirs");
    assert.ok(!text.includes("<b onclick"), "no element of theirs in the hint");
    assert.ok(text.includes("“<bdi>&quot;&gt;&lt;script&gt;alert(1)"), "escaped, in quotes, by itself");
  }
});

test("another account than the one that was asked for is said so", async () => {
  const warned = /<p [^>]*role="note">[\s\S]*you are signed in with another account/;
  for (const [hint, warn] of /** @type {const} */ ([
    ["bob@acme.dev", true],
    ["ada@acme.dev.evil.com", true],
    ["ADA@acme.dev", false],
    ["ada@acme.dev", false],
    ["", false],
  ])) {
    const page = await openPage(app, asking({ login_hint: hint }).params, ada);
    assert.equal(warned.test(await page.text()), warn, hint);
  }
});

test("a query of more than 8 KiB is refused", async () => {
  const query = `${new URLSearchParams(asking().params)}&filler=`;
  for (const [length, status] of [
    [8191, 200],
    [8192, 400],
  ]) {
    const answer = await openPage(app, query + "x".repeat(length - query.length), ada);
    assert.equal(answer.status, status, String(length));
    assertPageHeaders(answer, status === 200 ? `'self' http://127.0.0.1:${port}` : "'self'", String(length));
  }
});

test("a megabyte of query ends at the server, which goes on", async () => {
  const { params } = asking({ machine_name: "x".repeat(1 << 20) });
  const status = await new Promise((resolve) => {
    const request = plainRequest(`${app.origin}/cli-auth?${new URLSearchParams(params)}`, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.on("error", (/** @type {NodeJS.ErrnoException} */ error) => resolve(error.code));
    request.end();
  });
  assert.ok([431, 400, "ECONNRESET", "EPIPE"].includes(status), String(status));
  assert.equal((await openPage(app, asking().params, ada)).status, 200);
});

test("a forged Host changes nothing that leaves the app", async () => {
  const { params } = asking();
  const hostile = { host: "evil.com", "x-forwarded-host": "evil.com", "x-forwarded-proto": "https" };
  const metadata = await viaHost("/.well-known/oauth-authorization-server", hostile);
  assert.equal(JSON.parse(metadata.body).issuer, app.origin);
  assert.doesNotMatch(metadata.body, /evil/);
  const bad = await viaHost(`/cli-auth?${new URLSearchParams({ ...params, state: "x" })}`, hostile);
  assert.equal(bad.status, 400);
  assert.equal(bad.headers.location, undefined);
});

/**
 * @param {string} path
 * @param {Record<string, string>} headers
 * @returns {Promise<{ status: number | undefined, headers: import("node:http").IncomingHttpHeaders, body: string }>}
 */
function viaHost(path, headers) {
  return new Promise((resolve, reject) => {
    const request = plainRequest(`${app.origin}${path}`, { headers }, async (response) => {
      let body = "";
      for await (const part of response) body += part;
      resolve({ status: response.statusCode, headers: response.headers, body });
    });
    request.on("error", reject);
    request.end();
  });
}
