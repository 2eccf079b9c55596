// Several processes of the app on one store, the store killed and started again in between: whatever is sent at the same
// moment to whichever of them, a code and a refresh token work once.
//
//   node --test testing/stores/processes.test.mjs
//
// STORES_FULL=1 makes it 10,000 tries for each store instead of 400, and takes PostgreSQL and the REST interface as well.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  approved,
  clerkForTests,
  patiently,
  redeem,
  refresh,
  revoke,
  signedInTokens,
  signIn,
  startApp,
} from "../attacks/app.mjs";
import { missingServers, startGateway, startPostgres, startRedis } from "./servers.mjs";

/** @import { App, Clerk, Session } from "../attacks/app.mjs" */
/** @typedef {{ good: number, refused: number, waiting: number }} Count what came of the tries of one value */

const skip = missingServers();
const full = process.env.STORES_FULL === "1";
const PROCESSES = 4;
const GRANTS = full ? 50 : 10; // each with a code and a refresh token
const TRIES = full ? 100 : 20; // of each of the two
const AT_ONCE = full ? 100 : 40; // requests
const origin = "https://app.acme.dev";
const token = "the token of the REST interface";

const kinds = {
  redis: async () => {
    const server = await startRedis({ password: "the password of redis" });
    return {
      server,
      settings: { CLI_AUTH_STORE: server.url },
      secrets: ["password", "redis://"],
      stop: () => server.remove(),
    };
  },
  postgres: async () => {
    const server = await startPostgres();
    const settings = { CLI_AUTH_STORE: server.url };
    return { server, settings, secrets: ["p@ss", "p%40ss", "postgres://"], stop: () => server.remove() };
  },
  rest: async () => {
    const server = await startRedis();
    const gateway = await startGateway(server, token);
    const settings = { CLI_AUTH_STORE: gateway.url, CLI_AUTH_STORE_TOKEN: token };
    const stop = async () => {
      gateway.close();
      await server.remove();
    };
    return { server, settings, secrets: [token], stop };
  },
};

/** @type {(keyof typeof kinds)[]} */
const chosen = full ? ["redis", "postgres", "rest"] : ["redis"];
for (const kind of chosen) {
  describe(`${PROCESSES} processes on one store: ${kind}`, { skip, timeout: 600_000 }, () => {
    /** @type {Clerk} */
    let clerk;
    /** @type {Awaited<ReturnType<(typeof kinds)[keyof typeof kinds]>>} */
    let world;
    /** @type {App[]} */
    let apps = [];
    /** @type {Session & { headers: { origin: string } }} */
    let session;

    before(async () => {
      [clerk, world] = await Promise.all([clerkForTests(), kinds[kind]()]);
      const settings = { CLI_AUTH_ORIGIN: origin, ...world.settings };
      apps = await Promise.all(Array.from({ length: PROCESSES }, () => startApp(clerk, settings)));
      session = { ...(await signIn(apps[0])), headers: { origin } };
      await Promise.all(apps.map((app) => patiently(() => signedInTokens(app, session)))); // the first request loads the code
    });
    after(async () => {
      await Promise.all(apps.map((app) => app.stop()));
      await world?.stop();
      await clerk?.close();
    });

    const codes = (/** @type {number} */ count) =>
      inTurn(Array.from({ length: count }, (_, at) => () => patiently(() => approved(apps[at % PROCESSES], session))));
    const grants = (/** @type {number} */ count) =>
      inTurn(
        Array.from({ length: count }, (_, at) => () => patiently(() => signedInTokens(apps[at % PROCESSES], session))),
      );

    /**
     * Tries each of the values so many times, at all processes; what came of it, counted for each value.
     * @template T
     * @param {T[]} values
     * @param {(app: App, value: T) => Promise<Response>} send
     * @returns {Promise<Count[]>}
     */
    async function tryAll(values, send) {
      const counts = values.map(() => ({ good: 0, refused: 0, waiting: 0 }));
      const tries = values.flatMap((value, at) => Array.from({ length: TRIES }, (_, turn) => ({ value, at, turn })));
      tries.sort((a, b) => a.turn - b.turn); // so that those of one value are not sent one after the other
      await inTurn(
        tries.map(({ value, at, turn }) => async () => {
          const response = await send(apps[(at + turn) % PROCESSES], value);
          const { error } = await response.json();
          if (response.status === 200) counts[at].good += 1;
          else if (response.status === 400 && error === "invalid_grant") counts[at].refused += 1;
          else if (response.status === 503) counts[at].waiting += 1;
          else assert.fail(`status ${response.status}: ${error}`);
        }),
      );
      return counts;
    }

    /** @type {(counts: Count[], name: keyof Count) => number} */
    const sumOf = (counts, name) => counts.reduce((total, count) => total + count[name], 0);

    const values = {
      codes: async () => tryAll(await codes(GRANTS), redeem),
      "refresh tokens": async () => {
        const made = await grants(GRANTS);
        return tryAll(
          made.map(({ refresh_token }) => refresh_token),
          refresh,
        );
      },
    };
    for (const [what, tried] of Object.entries(values)) {
      test(`${what}: ${GRANTS * TRIES} tries, each value works once`, async (t) => {
        const counts = await tried();
        const sum = (/** @type {keyof Count} */ name) => sumOf(counts, name);
        t.diagnostic(`${what}: ${sum("good")} good, ${sum("refused")} refused, ${sum("waiting")} told to wait`);
        assert.deepEqual(
          counts.filter(({ good }) => good > 1),
          [],
          "used twice",
        );
        assert.deepEqual(
          counts.filter(({ good, waiting }) => good + waiting === 0),
          [],
          "never good",
        );
      });
    }

    test("the store is killed and started again in between: still none works twice", async (t) => {
      const made = await grants(10);
      const all = made.map(({ refresh_token }) => refresh_token);
      /** @type {Promise<void> | undefined} */
      let killing;
      let sent = 0;
      const counts = await tryAll(all, (app, value) => {
        sent += 1;
        if (sent === Math.floor((10 * TRIES) / 4)) {
          killing = world.server.kill().then(() => world.server.start());
        }
        return refresh(app, value);
      });
      await killing;
      const sum = (/** @type {keyof Count} */ name) => sumOf(counts, name);
      t.diagnostic(`killed: ${sum("good")} good, ${sum("refused")} refused, ${sum("waiting")} told to wait`);
      assert.deepEqual(
        counts.filter(({ good }) => good > 1),
        [],
        "used twice",
      );
      // What was told to wait is as good as before, unless another try of it was good, or two were.
      const after = await tryAll(all, refresh);
      assert.deepEqual(
        after.filter((count, at) => count.good + counts[at].good > 1),
        [],
        "used twice",
      );
    });

    test("revoked at one process is refused at the others; afterwards all is well", async () => {
      const [{ refresh_token }, other] = await grants(2);
      assert.equal((await revoke(apps[0], refresh_token)).status, 200);
      for (const app of apps) assert.equal((await refresh(app, refresh_token)).status, 400);
      assert.equal((await refresh(apps[3], other.refresh_token)).status, 200);
      for (const app of apps) {
        for (const secret of world.secrets) assert.ok(!app.log().includes(secret), `the log has ${secret}`);
      }
    });
  });
}

/**
 * Does all of it, so many at a time.
 * @template T
 * @param {(() => Promise<T>)[]} works
 */
async function inTurn(works) {
  /** @type {T[]} */
  const results = [];
  let next = 0;
  const worker = async () => {
    while (next < works.length) {
      const at = next++;
      results[at] = await works[at]();
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, works.length) }, worker));
  return results;
}
