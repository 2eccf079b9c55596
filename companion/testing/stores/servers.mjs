// Real servers for the stores: Debian's redis-server and PostgreSQL, in temporary folders and on ports from the system,
// and a REST interface in front of the first. Each can be killed, held up, and started again at the same port.

import { spawn, spawnSync } from "node:child_process";
import { chownSync, readdirSync } from "node:fs";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { createClient } from "redis";
import { listen, takePort } from "../port.mjs";

/** @typedef {Awaited<ReturnType<typeof makeCertificates>>} Certificates */
/** @typedef {Awaited<ReturnType<typeof startRedis>>} Redis */
/** @typedef {Awaited<ReturnType<typeof startPostgres>>} Postgres */
/**
 * @typedef {import("node:child_process").ChildProcessByStdio<null, import("node:stream").Readable,
 *   import("node:stream").Readable>} Child
 */

const companion = join(import.meta.dirname, "..", "..");
const LIMIT = 30_000; // ms until a server has to answer

/** The folder of PostgreSQL's programs; undefined where it is not installed. */
function postgresPrograms() {
  const found = spawnSync("pg_config", ["--bindir"], { encoding: "utf8" });
  const root = "/usr/lib/postgresql";
  const versions = spawnSync("test", ["-d", root]).status === 0 ? readdirSync(root).sort() : [];
  return [found.stdout?.trim(), ...versions.map((version) => join(root, version, "bin"))].find(
    (folder) => folder && spawnSync("test", ["-x", join(folder, "initdb")]).status === 0,
  );
}

/** Why the tests of real stores cannot run here; false if they can. Where everything must be there, that is an error. */
export function missingServers() {
  const programs = [
    ["redis-server", spawnSync("redis-server", ["--version"]).status === 0],
    ["PostgreSQL's server", postgresPrograms() !== undefined],
    ["openssl", spawnSync("openssl", ["version"]).status === 0],
  ];
  const missing = programs.filter(([, there]) => !there).map(([name]) => name);
  if (missing.length === 0) return false;
  if (process.env.CI === "true") throw new Error(`missing: ${missing.join(", ")}`);
  return `${missing.join(", ")} missing`;
}

/**
 * Runs a program to its end.
 * @param {string} program
 * @param {string[]} words
 * @param {{ cwd: string, env?: NodeJS.ProcessEnv }} options
 */
async function finish(program, words, options) {
  const child = spawn(program, words, { ...options, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text) => {
    said += text;
  });
  const status = await new Promise((done, fail) => child.once("error", fail).once("close", done));
  if (status !== 0) throw new Error(`${program}: ${said}`);
}

/** An authority of our own, a certificate of it for localhost, and another authority that has signed nothing here. */
export async function makeCertificates() {
  const folder = await mkdtemp(join(tmpdir(), "store-tls-"));
  const openssl = (/** @type {string[]} */ ...words) => finish("openssl", words, { cwd: folder });
  const authority = (/** @type {string} */ name) =>
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
      "-subj", `/CN=${name}`, "-keyout", `${name}.key`, "-out", `${name}.pem`); // biome-ignore format: one command
  await authority("ca");
  await authority("other");
  const signed = async (/** @type {string} */ name, /** @type {string} */ subject) => {
    await openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", `/CN=${subject}`,
      "-addext", `subjectAltName=DNS:${subject}`, "-keyout", `${name}.key`, "-out", `${name}.csr`); // biome-ignore format: one command
    await openssl("x509", "-req", "-in", `${name}.csr`, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
      "-days", "2", "-copy_extensions", "copy", "-out", `${name}.pem`); // biome-ignore format: one command
  };
  await signed("server", "localhost");
  const text = (/** @type {string} */ name) => readFile(join(folder, name), "utf8");
  return {
    cert: join(folder, "server.pem"),
    key: join(folder, "server.key"),
    ca: await text("ca.pem"),
    other: await text("other.pem"),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** A process that can be killed, held up and started again. */
class Server {
  /** @type {Child} */
  child;
  /** @type {Promise<unknown>} */
  exit;

  /**
   * @param {string} folder
   * @param {() => Child} start spawns it
   * @param {() => Promise<boolean>} ready asks whether it answers
   */
  constructor(folder, start, ready) {
    this.folder = folder;
    this.spawnIt = start;
    this.ready = ready;
  }

  async start() {
    this.child = this.spawnIt();
    let output = "";
    const hear = (/** @type {string} */ text) => {
      output += text;
    };
    this.child.stdout.setEncoding("utf8").on("data", hear);
    this.child.stderr.setEncoding("utf8").on("data", hear);
    this.exit = new Promise((done) => this.child.once("exit", done));
    let over = false;
    this.exit.then(() => {
      over = true;
    });
    for (const end = Date.now() + LIMIT; ; ) {
      if (await this.ready()) return;
      if (over || Date.now() > end) throw new Error(`the server does not start:\n${output}`);
      await new Promise((done) => setTimeout(done, 25));
    }
  }

  async pause() {
    this.child.kill("SIGSTOP");
  }

  async resume() {
    this.child.kill("SIGCONT");
  }

  /** Ends it without any warning, as a crash does. */
  async kill() {
    this.child.kill("SIGKILL");
    await this.exit;
  }

  async remove() {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/**
 * A Redis server, with TLS at a port of its own.
 * @param {{ password?: string, tls?: Certificates, options?: string[] }} [how] options: more words of its command line
 */
export async function startRedis({ password = "", tls, options = [] } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "redis-"));
  const [plain, secure] = [await takePort(), await takePort()];
  await Promise.all([plain.release(), secure.release()]);
  const port = plain.port;
  const words = ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "yes"];
  if (password) words.push("--requirepass", password);
  if (tls) {
    words.push("--tls-port", String(secure.port), "--tls-auth-clients", "no");
    words.push("--tls-cert-file", tls.cert, "--tls-key-file", tls.key);
  }
  const start = () => spawn("redis-server", [...words, ...options], { stdio: ["ignore", "pipe", "pipe"] });
  const user = password ? `:${encodeURIComponent(password)}@` : "";
  /** @type {(...words: string[]) => Promise<unknown>} */
  const command = async (...all) => {
    const client = createClient({ socket: { host: "127.0.0.1", port, reconnectStrategy: false }, password });
    client.on("error", () => {});
    await client.connect();
    try {
      return await client.sendCommand(all);
    } finally {
      client.destroy();
    }
  };
  const ready = () =>
    command("PING").then(
      (answer) => answer === "PONG",
      () => false,
    );
  const server = new Server(folder, start, ready);
  await server.start();
  const urls = { url: `redis://${user}127.0.0.1:${port}`, secure: `rediss://${user}localhost:${secure.port}` };
  return Object.assign(server, urls, { command });
}

/**
 * A PostgreSQL server with the tables, and its user "app". As root it runs as another user, because it has to.
 * @param {{ tls?: Certificates }} [how]
 */
export async function startPostgres({ tls } = {}) {
  const programs = postgresPrograms() ?? "";
  const folder = await mkdtemp(join(tmpdir(), "postgres-"));
  const root = process.getuid?.() === 0;
  const other = 65534; // "nobody"
  /** @type {(program: string, words: string[]) => [program: string, words: string[]]} */
  const run = (program, words) =>
    root
      ? [
          "setpriv",
          ["--reuid", String(other), "--regid", String(other), "--clear-groups", join(programs, program), ...words],
        ]
      : [join(programs, program), words];
  const give = async (/** @type {string} */ name) => {
    if (root) chownSync(name, other, other);
    await chmod(name, 0o700);
  };
  await give(folder);
  const data = join(folder, "data");
  const env = { PATH: process.env.PATH, LC_ALL: "C.UTF-8", HOME: folder };
  const owner = join(folder, "owner"); // its password; over a socket in the folder no password is asked for
  await writeFile(owner, "owner's password\n");
  await give(owner);
  const words = ["-D", data, "-U", "owner", "--pwfile", owner, "--auth-host=scram-sha-256", "--auth-local=trust"];
  await finish(...run("initdb", [...words, "--no-sync", "-E", "UTF8"]), { env, cwd: folder });
  const secure = [];
  if (tls) {
    for (const [name, from] of [
      ["server.crt", tls.cert],
      ["server.key", tls.key],
    ]) {
      await writeFile(join(data, name), await readFile(from));
      await give(join(data, name));
      await chmod(join(data, name), 0o600);
    }
    secure.push("ssl=on");
  }
  const { port, release } = await takePort();
  await release();
  const options = ["listen_addresses=127.0.0.1", "max_connections=60", ...secure].flatMap((option) => ["-c", option]);
  const command = run("postgres", ["-D", data, "-p", String(port), "-k", folder, ...options]);
  const start = () => spawn(command[0], command[1], { env, cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  /** @type {(text: string, values?: unknown[], user?: string) => Promise<{ rows: Record<string, unknown>[] }>} */
  const query = async (text, values, user = "owner") => {
    const client = new pg.Client({ host: folder, port, user, database: "postgres" });
    client.on("error", () => {});
    await client.connect();
    try {
      return await client.query(text, values);
    } finally {
      await client.end();
    }
  };
  const server = new Server(folder, start, () =>
    query("SELECT 1").then(
      () => true,
      () => false,
    ),
  );
  // The processes that serve connections are children of the one that was started: they are killed and held up one by one.
  const all = () => {
    const found = spawnSync("ps", ["-o", "pid=", "--ppid", String(server.child.pid)], { encoding: "utf8" });
    return [server.child.pid, ...found.stdout.split("\n").map(Number).filter(Boolean)];
  };
  const signal = (/** @type {NodeJS.Signals} */ name) => {
    for (const id of all()) {
      if (id === undefined) continue;
      try {
        process.kill(id, name);
      } catch {
        // it has ended
      }
    }
  };
  server.pause = async () => signal("SIGSTOP");
  server.resume = async () => signal("SIGCONT");
  server.kill = async () => {
    signal("SIGKILL");
    await server.exit;
    await rm(join(data, "postmaster.pid"), { force: true });
  };
  await server.start();
  const password = "p@ss/word of the app"; // which an address has to encode
  await query(`CREATE USER app PASSWORD '${password}'`);
  const migration = await readFile(join(companion, "postgres.sql"), "utf8");
  const grant = /^-- (GRANT .*;)$/m.exec(migration)?.[1] ?? "";
  await query(migration);
  await query(migration); // it can be run again
  await query(grant);
  const at = (/** @type {string} */ secret, host = "127.0.0.1") =>
    `postgres://app:${encodeURIComponent(secret)}@${host}:${port}/postgres`;
  return Object.assign(server, { url: at(password), secure: at(password, "localhost"), query, at });
}

/**
 * A REST interface, as Upstash and serverless-redis-http have it, in front of a Redis server.
 * @param {{ url: string }} redis
 * @param {string} token
 */
export async function startGateway(redis, token) {
  /** @type {ReturnType<typeof connect> | undefined} */
  let client;
  const connect = async () => {
    const made = createClient({ url: redis.url, socket: { reconnectStrategy: false } });
    made.on("error", () => {
      client = undefined;
    });
    await made.connect();
    return made;
  };
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    const answer = (/** @type {number} */ status, /** @type {object} */ value) =>
      response.writeHead(status).end(JSON.stringify(value));
    if (request.headers.authorization !== `Bearer ${token}`) return answer(401, { error: "Unauthorized" });
    try {
      client ??= connect();
      return answer(200, { result: await (await client).sendCommand(JSON.parse(body)) });
    } catch (error) {
      return answer(400, { error: error instanceof Error ? error.message : String(error) });
    }
  });
  const port = await listen(server);
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () => {
      client?.then((made) => made.destroy()).catch(() => {});
      server.closeAllConnections();
      server.close();
    },
  };
}
