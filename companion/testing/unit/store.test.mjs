// The stores: the first caller that takes a key has it, later ones are refused, and silence is an error.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, test } from "node:test";
import { compileLibrary } from "./compile.mjs";

const library = await compileLibrary();
after(library.remove);
const { kvStore, openStore, StoreError } = library.load("store");

async function serve(t, answer) {
  const server = createServer(answer);
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}/`;
}

test("memory: taken once, for its time, by the whole process", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 1_000_000 });
  const store = openStore({ store: { kind: "memory" } });
  assert.equal(await store.has("a"), false);
  assert.equal(await store.take("a", 60), true);
  assert.equal(await store.take("a", 60), false);
  assert.equal(await store.has("a"), true);
  assert.equal(await openStore({ store: { kind: "memory" } }).has("a"), true, "each route opens its own");
  assert.equal(await store.take("b", 60), true);
  t.mock.timers.tick(60_000);
  assert.equal(await store.has("a"), false);
  assert.equal(await store.take("a", 60), true);
});

test("memory: full of live keys, it refuses instead of forgetting one", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 2_000_000 });
  const store = openStore({ store: { kind: "memory" } });
  await assert.rejects(async () => {
    for (let at = 0; at <= 100_000; at++) await store.take(`key ${at}`, 60);
  }, StoreError);
  t.mock.timers.tick(3_600_000);
  assert.equal(await store.take("after", 60), true, "what is over makes room");
});

test("none is none", () => assert.equal(openStore({ store: { kind: "none" } }), undefined));

test("kv: the commands, and who sends them", async (t) => {
  const seen = [];
  const kept = new Set();
  const url = await serve(t, async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    const words = JSON.parse(body);
    seen.push([request.method, request.headers.authorization, ...words]);
    const had = kept.has(words[1]);
    if (words[0] === "SET") kept.add(words[1]);
    response.end(JSON.stringify({ result: words[0] === "SET" ? (had ? null : "OK") : Number(had) }));
  });
  const store = kvStore(url, "secret");
  assert.equal(await store.has("a"), false);
  assert.equal(await store.take("a", 60), true);
  assert.equal(await store.take("a", 60), false);
  assert.equal(await store.has("a"), true);
  assert.deepEqual(seen.slice(0, 2), [
    ["POST", "Bearer secret", "EXISTS", "cli-auth:a"],
    ["POST", "Bearer secret", "SET", "cli-auth:a", "1", "NX", "EX", "60"],
  ]);
});

test("kv: whatever is not an answer is an error, and never yes or no", async (t) => {
  let answer;
  const url = await serve(t, (_, response) => answer(response));
  const store = kvStore(url, "secret");
  const rows = [
    ["an error of the store", (r) => r.writeHead(400).end('{"error":"WRONGPASS"}')],
    ["an error with status 200", (r) => r.end('{"error":"READONLY"}')],
    ["a result with status 500", (r) => r.writeHead(500).end('{"result":"OK"}')],
    ["no JSON", (r) => r.end("OK")],
    ["nothing", (r) => r.end()],
    ["another type", (r) => r.end('{"result":true}')],
    ["a number for SET, a word for EXISTS", (r) => r.end('{"result":"1"}')],
    ["far too much", (r) => r.end(JSON.stringify({ result: "OK", more: "x".repeat(1 << 20) }))],
    ["a redirect", (r) => r.writeHead(307, { location: url }).end()],
    ["a connection that breaks", (r) => r.destroy()],
  ];
  for (const [why, wrong] of rows) {
    answer = wrong;
    await assert.rejects(store.take("a", 60), StoreError, why);
    await assert.rejects(store.has("a"), StoreError, why);
  }
});
