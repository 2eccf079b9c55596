// Each store against a real server: used twice, killed, started again, held up, full, with a wrong password, with TLS.
// What a store cannot say for certain is an error, and whatever was an error has not happened.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:https";
import { after, before, describe, test } from "node:test";
import { listen } from "../port.mjs";
import { compileLibrary } from "../unit/compile.mjs";
import { makeCertificates, missingServers, startGateway, startPostgres, startRedis } from "./servers.mjs";

const skip = missingServers();
// Servers take long to start on a busy machine: one of each serves all rows.
const library = await compileLibrary();
const { openCounts, openGrants, openStore } = library.load("store");
const { StoreError, StoreFull } = library.load("stores/interface");
const { parseStore } = library.load("stores/setting");

/** @import { Counts, Grants, Mark, Store } from "../../lib/cli-auth/stores/interface" */
/** @import { Settings } from "../../lib/cli-auth/settings" */
/** @import { Certificates, Postgres, Redis } from "./servers.mjs" */
/**
 * @typedef {object} World a store, and the servers behind it
 * @property {() => Store & Grants & Counts} store opens it
 * @property {string[]} secrets what no error may name
 * @property {() => Promise<void>} stop
 * @property {Redis} [redis] or
 * @property {Postgres} [postgres]
 * @property {string} [url] the REST interface
 */

/** @type {(value: string, token?: string, ca?: string) => Store & Grants & Counts} */
const open = (value, token = "", ca = undefined) => {
  const store = parseStore(value, token, ca);
  assert.ok(store, "the setting is read");
  const settings = /** @type {Settings} */ ({ store });
  const [marks, grants, counts] = [openStore(settings), openGrants(settings), openCounts(settings)];
  assert.ok(marks && grants && counts);
  return {
    take: marks.take.bind(marks),
    has: marks.has.bind(marks),
    note: grants.note.bind(grants),
    list: grants.list.bind(grants),
    remove: grants.remove.bind(grants),
    count: counts.count.bind(counts),
  };
};

/** @type {(kind?: Mark["kind"], family?: string, generation?: number) => Mark} */
const mark = (kind = "used", family = randomUUID(), generation = 0) => ({
  kind,
  of: { sub: "user_1", family, generation, jti: `${family}.${generation}` },
});

/**
 * Demands an error of this kind, whose message names nothing of the setting.
 * @param {Promise<unknown>} promise
 * @param {typeof StoreError} kind
 * @param {string[]} secrets
 */
async function fails(promise, kind, secrets) {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof kind, String(error instanceof Error ? error.stack : error));
    for (const secret of secrets) assert.ok(!`${error.message}${error.cause ?? ""}`.includes(secret), error.message);
    return true;
  });
}

/** @type {Promise<Certificates> | undefined} */
let made;
const certificates = () => {
  made ??= makeCertificates();
  return made;
};
after(async () => (await made)?.remove());

const token = "the token of the REST interface";
/** @type {Record<string, () => Promise<World>>} */
const kinds = {
  memory: async () => ({ store: () => open("memory"), secrets: [], stop: async () => {} }),
  redis: async () => {
    const server = await startRedis({ password: "p@ss word", tls: await certificates() });
    return {
      redis: server,
      store: () => open(server.url),
      secrets: ["127.0.0.1", "p@ss", "p%40ss"],
      stop: () => server.remove(),
    };
  },
  rest: async () => {
    const server = await startRedis();
    const gateway = await startGateway(server, token);
    const stop = async () => {
      gateway.close();
      await server.remove();
    };
    return {
      redis: server,
      url: gateway.url,
      store: () => open(gateway.url, token),
      secrets: ["127.0.0.1", token],
      stop,
    };
  },
  postgres: async () => {
    const server = await startPostgres({ tls: await certificates() });
    return {
      postgres: server,
      store: () => open(server.url),
      secrets: ["127.0.0.1", "p@ss", "p%40ss", "app:"],
      stop: () => server.remove(),
    };
  },
};

describe("stores", { skip, concurrency: true, timeout: 240_000 }, () => {
  /** @type {Record<string, World>} */
  const worlds = {};
  before(async () => {
    // All are there before the first row: while servers start, a busy machine answers nothing in time.
    await Promise.all(
      Object.entries(kinds).map(async ([kind, make]) => {
        worlds[kind] = await make();
      }),
    );
    for (const world of Object.values(worlds)) await connected(world.store());
  });
  after(() => Promise.all(Object.values(worlds).map((world) => world.stop())));
  for (const kind of Object.keys(kinds)) rows(kind, worlds);
});

/**
 * Waits until the store has answered once.
 * @param {Store} store
 */
async function connected(store) {
  for (const end = Date.now() + 60_000; ; ) {
    try {
      return await store.has(mark());
    } catch (error) {
      if (Date.now() > end) throw error;
    }
  }
}

/**
 * @param {string} kind
 * @param {Record<string, World>} worlds
 */
function rows(kind, worlds) {
  describe(kind, { concurrency: 1 }, () => {
    /** @type {World} */
    let world;
    /** @type {Store & Grants & Counts} */
    let store;
    // Those of the row's own kind.
    const redis = () => world.redis ?? assert.fail("no Redis");
    const postgres = () => world.postgres ?? assert.fail("no PostgreSQL");
    const server = () => world.postgres ?? redis();
    before(() => {
      world = worlds[kind];
      store = world.store();
    });

    test("used twice: of 20 at once one is the first", async () => {
      /** @type {Mark["kind"][]} */
      const words = ["used", "revoked", "ended"];
      for (const word of words) {
        const one = mark(word);
        assert.equal(await store.has(one), false);
        const taken = await Promise.all(Array.from({ length: 20 }, () => store.take(one, 60)));
        assert.equal(taken.filter(Boolean).length, 1);
        assert.equal(await store.has(one), true);
        assert.equal(await store.take(one, 60), false);
        assert.equal(await world.store().has(one), true, "each route opens its own");
        for (const other of words.filter((name) => name !== word))
          assert.equal(await store.has({ ...one, kind: other }), false, `${word} is not ${other}`);
      }
    });

    test("forgotten after its time, and good for another", { timeout: 20_000 }, async () => {
      const one = mark();
      assert.equal(await store.take(one, 1), true);
      for (const end = Date.now() + 10_000; await store.has(one); ) {
        assert.ok(Date.now() < end, "it is remembered for ever");
        await new Promise((done) => setTimeout(done, 100));
      }
      assert.equal(await store.take(one, 60), true);
    });

    test("a person's grants: noted, used again, taken away; never another's", async () => {
      const [sub, other] = [`user_${randomUUID()}`, `user_${randomUUID()}`];
      assert.deepEqual(await store.list(sub), []);
      const machine = `ada's "laptop" ''; -- \\ ünï`;
      await store.note(sub, { family: "family_a", org: "org_1", machine }, 60);
      await store.note(sub, { family: "family_b", org: "", machine: "" }, 60);
      await store.note(sub, { family: "family_a", org: "org_2", machine: "" }, 60);
      const listed = await store.list(sub);
      const a = listed.find(({ family }) => family === "family_a");
      assert.equal(listed.length, 2);
      assert.ok(a);
      assert.deepEqual([a.machine, a.org], [machine, "org_2"], "the machine is the one of the first time");
      for (const time of [a.created, a.used]) assert.ok(Math.abs(time - Date.now() / 1000) < 60, String(time));
      assert.deepEqual(await store.list(other), []);
      await store.remove(other, "family_a");
      assert.equal((await store.list(sub)).length, 2, "another person removes nothing");
      await store.remove(sub, "family_a");
      await store.remove(sub, "family_a");
      assert.deepEqual(
        (await store.list(sub)).map(({ family }) => family),
        ["family_b"],
      );
      await store.note(sub, { family: "family_c", org: "", machine: "" }, 0);
      assert.equal((await store.list(sub)).length, 1, "one that is over is not listed");
    });

    test("counted: each name by itself, and from the beginning after its time", { timeout: 20_000 }, async () => {
      const name = `person ${randomUUID()}`;
      const counts = await Promise.all(Array.from({ length: 20 }, () => store.count(name, 60)));
      assert.deepEqual(
        counts.sort((a, b) => a - b),
        Array.from({ length: 20 }, (_, at) => at + 1),
      );
      assert.equal(await store.count(`${name}'`, 60), 1);
      const short = `address ${randomUUID()}`;
      assert.equal(await store.count(short, 1), 1);
      await new Promise((done) => setTimeout(done, 1500));
      assert.equal(await store.count(short, 60), 1);
    });

    test("too many grants of one person: those that are there go on", async () => {
      const sub = `user_${randomUUID()}`;
      const note = (/** @type {number} */ at) => store.note(sub, { family: `family_${at}`, org: "", machine: "m" }, 60);
      for (let at = 0; at < 500; at += 20) await Promise.all(Array.from({ length: 20 }, (_, more) => note(at + more)));
      await assert.rejects(note(500), StoreFull);
      await note(7);
      assert.equal((await store.list(sub)).length, 500);
      await store.note(`user_${randomUUID()}`, { family: "family_other", org: "", machine: "" }, 60);
    });

    if (kind === "memory") return;

    test("killed: an error in time, nothing is spent, and what was remembered still is", async () => {
      const [before, during] = [mark(), mark()];
      assert.equal(await store.take(before, 60), true);
      await server().kill();
      const began = Date.now();
      await Promise.all([
        fails(store.take(during, 60), StoreError, world.secrets),
        fails(store.has(before), StoreError, world.secrets),
        fails(store.list("user_1"), StoreError, world.secrets),
      ]);
      assert.ok(Date.now() - began < 30_000);
      await server().start();
      assert.equal(await store.has(before), true);
      assert.equal(await store.take(before, 60), false);
      assert.equal(await store.has(during), false);
      assert.equal(await store.take(during, 60), true);
    });

    test("held up: an error in time, and what comes after it is not done late", async () => {
      const [one, two] = [mark(), mark("revoked")];
      assert.equal(await store.has(one), false);
      await server().pause();
      const began = Date.now();
      try {
        await Promise.all([
          fails(store.take(one, 60), StoreError, world.secrets),
          fails(store.take(two, 60), StoreError, world.secrets),
          fails(store.has(one), StoreError, world.secrets),
        ]);
      } finally {
        await server().resume();
      }
      assert.ok(Date.now() - began < 30_000);
      for (const each of [one, two]) {
        assert.equal(await store.has(each), false);
        assert.equal(await store.take(each, 60), true);
      }
    });

    test("full: an error of its own, nothing is spent, and what is there is remembered", async () => {
      const [before, during] = [mark(), mark()];
      assert.equal(await store.take(before, 60), true);
      if (kind === "postgres") {
        await postgres().query(`CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$`);
        await postgres().query("CREATE TRIGGER full_disk BEFORE INSERT ON cli_auth_marks EXECUTE FUNCTION full_disk()");
      } else await redis().command("CONFIG", "SET", "maxmemory", "1");
      await fails(store.take(during, 60), StoreFull, world.secrets);
      assert.equal(await store.has(before), true);
      if (kind === "postgres") await postgres().query("DROP TRIGGER full_disk ON cli_auth_marks");
      else await redis().command("CONFIG", "SET", "maxmemory", "0");
      assert.equal(await store.has(during), false);
      assert.equal(await store.take(during, 60), true);
    });

    test("a wrong password: an error that names neither", async () => {
      const wrong = "wrong-password";
      const url = world.url ?? world.postgres?.at(wrong) ?? redis().url.replace(/:[^:@/]*@/, `:${wrong}@`);
      const other = open(url, wrong);
      await fails(other.take(mark(), 60), StoreError, [...world.secrets, wrong]);
      await fails(other.has(mark()), StoreError, [...world.secrets, wrong]);
    });

    if (kind === "rest") {
      test("TLS: a certificate that is not trusted is not talked to", async () => {
        let asked = 0;
        const { cert, key } = await certificates();
        const server = createServer({ cert: await readFile(cert), key: await readFile(key) }, (_, response) => {
          asked += 1;
          response.end('{"result":0}');
        });
        const port = await listen(server);
        await fails(open(`https://localhost:${port}/`, token).has(mark()), StoreError, [token]);
        assert.equal(asked, 0);
        server.close();
      });
      return;
    }

    test("TLS: an authority of one's own, and no other", async () => {
      const { ca, other } = await certificates();
      const query = kind === "postgres" ? "?sslmode=require" : "";
      const url = server().secure + query;
      const good = open(url, "", ca);
      const one = mark();
      assert.equal(await good.take(one, 60), true);
      assert.equal(await good.take(one, 60), false);
      /** @type {[why: string, address: string, authority?: string][]} */
      const untrusted = [
        ["another authority", url, other],
        ["the system's authorities", url],
        ["another name than the certificate's", url.replace("localhost", "127.0.0.1"), ca],
      ];
      for (const [why, address, authority] of untrusted) {
        await assert.rejects(open(address, "", authority).take(mark(), 60), (error) => {
          assert.ok(error instanceof StoreError, why);
          assert.match(error.message, /certificate is not trusted/, why);
          assert.doesNotMatch(error.message, /p@ss|localhost|127\.0/);
          return true;
        });
      }
      const wrong = kind === "postgres" ? `${server().url}?sslmode=require` : server().url.replace("redis:", "rediss:");
      if (kind === "postgres") {
        await postgres().query("ALTER SYSTEM SET ssl = off");
        await postgres().query("SELECT pg_reload_conf()");
      }
      await fails(open(wrong, "", ca).has(one), StoreError, world.secrets); // a server without TLS is not talked to
    });

    if (kind === "postgres") {
      test("without its tables it says what is missing", async () => {
        await postgres().query("DROP TABLE cli_auth_marks");
        await assert.rejects(store.has(mark()), /prints the SQL that makes them/);
      });
      return;
    }

    test("a server that has become a replica is left, and found again under its name", async () => {
      assert.equal(await store.has(mark()), false);
      await redis().command("REPLICAOF", "127.0.0.1", "1");
      const taking = store.take(mark(), 60);
      await redis().command("REPLICAOF", "NO", "ONE");
      assert.equal(await taking, true, "within the time that it is tried again");
    });

    test("a server that forgets when it is full is warned of", async (t) => {
      /** @type {string[]} */
      const said = [];
      t.mock.method(console, "warn", (/** @type {string} */ text) => said.push(text));
      const url = (/** @type {number} */ at) => `${redis().url}/${at}`; // another connection each
      await open(url(1)).has(mark());
      await redis().command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
      await open(url(2)).has(mark());
      await open(url(2)).has(mark());
      assert.equal(said.length, 1, said.join());
      assert.match(said[0], /allkeys-lru/);
    });
  });
}
