// The places for a company's own code: the rate limit, and a store of its own.

import assert from "node:assert/strict";
import { test } from "node:test";
import { compileLibrary } from "./compile.mjs";

const library = await compileLibrary();
const { revocation, token } = library.load("token");
const { readLimited } = library.load("read");

Object.assign(process.env, {
  NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY: "pk_test_bm90ZWQtbGFiLTQyLmNsZXJrLmFjY291bnRzLmRldiQ",
  CLI_AUTH_ORIGIN: "https://app.acme.dev",
  CLI_AUTH_SECRET: "9f86d081884c7d659a2feaa0c55ad015",
  CLERK_SECRET_KEY: "sk_test_x",
  CLERK_API_URL: "http://127.0.0.1:1", // never asked here
});

const post = (/** @type {Record<string, string>} */ fields) =>
  new Request("https://app.acme.dev/x", { method: "POST", body: new URLSearchParams(fields) });

test("a limiter that says wait is obeyed before the body is read", async () => {
  for (const [endpoint, handler] of Object.entries({ token, revoke: revocation })) {
    /** @type {unknown[][]} */
    const asked = [];
    const request = post({ client_id: "clerk-credential-helper" });
    const response = await handler(request, async (...args) => {
      asked.push(args);
      return 29.5;
    });
    assert.equal(response.status, 429);
    assert.equal(response.headers.get("retry-after"), "30");
    assert.equal((await response.json()).error, "temporarily_unavailable");
    assert.deepEqual(asked, [[request, endpoint]]);
    assert.equal(request.bodyUsed, false);
  }
});

test("a limiter that says 0 lets pass", async () => {
  const response = await token(
    post({ client_id: "clerk-credential-helper", grant_type: "refresh_token" }),
    async () => 0,
  );
  assert.deepEqual([response.status, (await response.json()).error], [400, "invalid_request"]);
});

test("a body is read up to its limit, in whatever pieces it comes", async () => {
  const body = (/** @type {number[][]} */ ...parts) =>
    new Response(
      new ReadableStream({
        start(controller) {
          for (const part of parts) controller.enqueue(new Uint8Array(part));
          controller.close();
        },
      }),
    );
  assert.equal(await readLimited(body([97], [98, 99]), 3), "abc");
  assert.equal(await readLimited(body([97], [98, 99], [100]), 3), undefined);
  assert.equal(await readLimited(body([0xc3], [0xa4]), 3), "ä", "a letter in two pieces");
  assert.equal(await readLimited(new Response(null), 3), "");
  for (const wrong of [[0xff], [0xc3], [0xed, 0xa0, 0x80]]) await assert.rejects(readLimited(body(wrong), 3));
});
