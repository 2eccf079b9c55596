// The stores: the first caller that takes a key has it, later ones are refused, and silence is an error.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { listen } from "../port.mjs";
import { compileLibrary } from "./compile.mjs";

const library = await compileLibrary();
const { openStore } = library.load("store");
const { restStore } = library.load("stores/rest");
const { StoreError, StoreFull } = library.load("stores/interface");

/** @import { RequestListener, ServerResponse } from "node:http" */
/** @import { TestContext } from "node:test" */
/** @import { Settings } from "../../lib/cli-auth/settings" */
/** @import { Mark } from "../../lib/cli-auth/stores/interface" */

/**
 * @param {TestContext} t
 * @param {RequestListener} answer
 */
async function serve(t, answer) {
  const server = createServer(answer);
  const port = await listen(server);
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${port}/`;
}

/** What the settings with a store in memory open. */
function memory() {
  const store = openStore(/** @type {Settings} */ ({ store: { kind: "memory" } }));
  assert.ok(store);
  return store;
}

/**
 * The mark of a refresh token, or of a code: generation 0.
 * @type {(family: string, generation?: number, sub?: string) => Mark}
 */
const used = (family, generation = 0, sub = "user_1") => ({
  kind: "used",
  of: { sub, family, generation, jti: `${family}.${generation}` },
});
/** @type {(family: string, sub?: string) => Mark} */
const revoked = (family, sub = "user_1") => ({ kind: "revoked", of: { sub, family, generation: 0, jti: "any" } });

test("memory: taken once, for its time, by the whole process", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 1_000_000 });
  const store = memory();
  for (const mark of [used, revoked]) {
    assert.equal(await store.has(mark("a")), false);
    assert.equal(await store.take(mark("a"), 60), true);
    assert.equal(await store.take(mark("a"), 60), false);
    assert.equal(await store.has(mark("a")), true);
    assert.equal(await memory().has(mark("a")), true, "each route opens its own");
    assert.equal(await store.take(mark("b"), 60), true);
    const another = mark === used ? used("a", 0, "user_2") : revoked("a", "user_2");
    assert.equal(await store.has(another), false, "another person's");
  }
  t.mock.timers.tick(60_000);
  for (const mark of [used, revoked]) {
    assert.equal(await store.has(mark("a")), false);
    assert.equal(await store.take(mark("a"), 60), true);
  }
});

test("memory: 300 refreshes of one person are one entry, and each of them is remembered", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 2_000_000 });
  const store = memory();
  const size = () => Reflect.get(store, "size"); // of its own
  const before = size();
  for (let at = 0; at < 300; at++) {
    assert.equal(await store.has(used("long", at)), false);
    assert.equal(await store.take(used("long", at), 60), true);
  }
  for (const at of [0, 1, 150, 299]) {
    assert.equal(await store.has(used("long", at)), true, String(at));
    assert.equal(await store.take(used("long", at), 60), false, String(at));
  }
  assert.equal(await store.has(used("long", 300)), false, "the one that was given out last");
  assert.equal(size() - before, 1);
  assert.equal(await store.take(revoked("long"), 60), true);
  assert.equal(size() - before, 1, "nor is the revocation another");
});

test("memory: one person has a part of it, and all others go on", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 3_000_000 });
  const store = memory();
  let room = 0;
  await assert.rejects(async () => {
    for (; room <= 100_000; room++) await store.take(used(`mine ${room}`, 0, "user_greedy"), 60);
  }, StoreFull);
  assert.ok(room >= 100 && room <= 1000, `room for ${room}`);
  assert.equal(await store.take(used("mine 0", 1, "user_greedy"), 60), true, "what is there goes on");
  assert.equal(await store.take(revoked("mine 0", "user_greedy"), 60), true, "and can be ended");
  assert.equal(await store.has(used("mine 1", 0, "user_greedy")), true, "nothing is forgotten for it");
  assert.equal(await store.take(used("hers", 0, "user_modest"), 60), true);
  t.mock.timers.tick(60_000);
  assert.equal(await store.take(used("after", 0, "user_greedy"), 60), true, "what is over makes room");
});

test("memory: full of live entries, it refuses new ones instead of forgetting one", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 4_000_000 });
  const store = memory();
  const person = (/** @type {number} */ at) => `user_${at % 1000}`;
  await assert.rejects(async () => {
    for (let at = 0; at <= 100_000; at++) await store.take(used(`many ${at}`, 0, person(at)), 60);
  }, StoreFull);
  await assert.rejects(store.take(used("new", 0, "user_new"), 60), StoreFull);
  assert.equal(await store.has(used("new", 0, "user_new")), false, "what was refused is not spent");
  assert.equal(await store.take(used("many 7", 1, person(7)), 60), true, "what is there goes on");
  assert.equal(await store.take(revoked("many 8", person(8)), 60), true, "and can be ended");
  t.mock.timers.tick(3_600_000);
  assert.equal(await store.take(used("after"), 60), true, "what is over makes room");
});

test("none is none", () => assert.equal(openStore(/** @type {Settings} */ ({ store: { kind: "none" } })), undefined));

test("rest: the commands, and who sends them", async (t) => {
  /** @type {string[][]} */
  const seen = [];
  const kept = new Set();
  const url = await serve(t, async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    const words = JSON.parse(body);
    seen.push([request.method ?? "", request.headers.authorization ?? "", ...words]);
    const key = words[0] === "EVAL" ? words[3] : words[1];
    const had = kept.has(key);
    if (words[0] === "EVAL") kept.add(key);
    response.end(
      JSON.stringify({ result: words[0] === "TIME" ? ["1000", "5999"] : Number((words[0] === "EVAL") !== had) }),
    );
  });
  const store = restStore({ url, token: "secret" });
  assert.equal(await store.take(used("a", 2), 60), true);
  assert.equal(await store.take(used("a", 2), 60), false);
  assert.equal(await store.take(revoked("a"), 60), true);
  assert.equal(await store.take({ ...revoked("a"), kind: "ended" }, 60), true);
  for (const [method, authorization] of seen) assert.deepEqual([method, authorization], ["POST", "Bearer secret"]);
  const [time, first, , second, , third, , fourth] = seen.map((words) => words.slice(2));
  assert.deepEqual(time, ["TIME"]);
  const attempts = [first, second, third, fourth].map(([command, script, keys, key, attempt, seconds, deadline]) => {
    assert.deepEqual([command, keys, seconds, deadline], ["EVAL", "1", "60", "1002005"]);
    assert.match(script, /'TIME'.*'GET'.*'SET'/s);
    assert.match(attempt, /^[0-9a-f-]{36}$/);
    return [key, attempt];
  });
  const keys = ["cli-auth:used:a.2", "cli-auth:used:a.2", "cli-auth:revoked:a", "cli-auth:ended:a"];
  assert.deepEqual(
    attempts.map(([key]) => key),
    keys,
  );
  assert.equal(new Set(attempts.map(([, attempt]) => attempt)).size, 4, "each attempt is known by a name of its own");
});

test("rest: what the script says is believed as it is said", async (t) => {
  /** @type {unknown} */
  let result;
  const url = await serve(t, async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    response.end(JSON.stringify({ result: JSON.parse(body)[0] === "TIME" ? ["1000", "0"] : result }));
  });
  const store = restStore({ url, token: "secret" });
  for (const [answer, wanted] of /** @type {const} */ ([
    [1, true],
    [0, false],
  ])) {
    result = answer;
    assert.equal(await store.take(used("a"), 60), wanted);
  }
  for (const answer of [-1, 2, "1", true, null, "OK", [1], {}]) {
    result = answer;
    await assert.rejects(store.take(used("a"), 60), StoreError, JSON.stringify(answer));
  }
});

test("rest: whatever is not an answer is an error, and never yes or no", async (t) => {
  /** @type {(response: ServerResponse) => unknown} */
  let answer;
  const url = await serve(t, (_, response) => answer(response));
  const store = restStore({ url, token: "secret" });
  /** @type {[why: string, answer: (response: ServerResponse) => unknown][]} */
  const rows = [
    ["an error of the store", (r) => r.writeHead(400).end('{"error":"WRONGPASS"}')],
    ["an error with status 200", (r) => r.end('{"error":"READONLY"}')],
    ["a result with status 500", (r) => r.writeHead(500).end('{"result":"OK"}')],
    ["no JSON", (r) => r.end("OK")],
    ["nothing", (r) => r.end()],
    ["another type", (r) => r.end('{"result":true}')],
    ["no result", (r) => r.end("{}")],
    ["a list of another kind", (r) => r.end('{"result":["a","b"]}')],
    ["nothing as its result", (r) => r.end('{"result":null}')],
    ["a word for a number", (r) => r.end('{"result":"1"}')],
    ["far too much", (r) => r.end(JSON.stringify({ result: "OK", more: "x".repeat(1 << 20) }))],
    ["a redirect", (r) => r.writeHead(307, { location: url }).end()],
    ["a connection that breaks", (r) => r.destroy()],
  ];
  for (const [why, wrong] of rows) {
    answer = wrong;
    await assert.rejects(store.take(used("a"), 60), StoreError, why);
    await assert.rejects(store.has(used("a")), StoreError, why);
    await assert.rejects(store.note("user_1", { family: "a", org: "", machine: "" }, 60), StoreError, why);
    await assert.rejects(store.list("user_1"), StoreError, why);
  }
});
