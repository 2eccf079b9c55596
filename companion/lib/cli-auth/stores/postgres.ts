// Tables of a PostgreSQL database, by the package pg. "clerk-credential-helper companion add --store postgres" prints the
// SQL that makes them.

import { createHash, randomUUID } from "node:crypto";
import {
  type Counts,
  certificateFault,
  type Grants,
  keyOf,
  type ListedGrant,
  MAX_GRANTS,
  type Mark,
  oneForProcess,
  type Store,
  StoreError,
  StoreFull,
  TIME_LIMIT,
  within,
} from "./interface";
import { personKey } from "./person";
import type { Server } from "./setting";

const MAX_CONNECTIONS = 10; // of one process
const FIRST_PAUSE = 50; // ms between two attempts, twice as long each time
const SWEEP_EVERY = 60_000; // ms

/** What we use of the package, which an app without such a store does not have. */
type Rows = { rows: Record<string, unknown>[] };
type Client = { query(text: string, values?: unknown[]): Promise<Rows>; release(destroy?: boolean): void };
type Pool = { connect(): Promise<Client>; on(event: "error", listener: () => void): unknown };
type Package = { Pool: new (options: object) => Pool };

type Setting = { server: Server; channelBinding: boolean };

export function postgresStore(setting: Setting): Store & Grants & Counts {
  const name = createHash("sha256").update(JSON.stringify(setting)).digest("base64url");
  return oneForProcess(`postgres ${name}`, () => new Postgres(setting));
}

// One that is over can be taken again, and so can one that this same attempt took before its connection broke.
const TAKE = `
INSERT INTO cli_auth_marks AS mark (key, attempt, expires_at) VALUES ($1, $2, now() + $3::int * interval '1 second')
ON CONFLICT (key) DO UPDATE SET attempt = excluded.attempt, expires_at = excluded.expires_at
WHERE mark.expires_at <= now() OR mark.attempt = excluded.attempt
RETURNING 1`;

const NOTE = `
INSERT INTO cli_auth_grants AS listed (family, person, org, machine, expires_at)
SELECT $1, $2, $3, $4, now() + $5::int * interval '1 second'
WHERE EXISTS (SELECT FROM cli_auth_grants WHERE family = $1)
OR (SELECT count(*) FROM cli_auth_grants WHERE person = $2 AND expires_at > now()) < $6::int
ON CONFLICT (family) DO UPDATE SET org = excluded.org, used_at = now(), expires_at = excluded.expires_at
WHERE listed.person = excluded.person
RETURNING 1`;

const COUNT = `
INSERT INTO cli_auth_counts AS counter (name, count, expires_at) VALUES ($1, 1, now() + $2::int * interval '1 second')
ON CONFLICT (name) DO UPDATE SET
  count = CASE WHEN counter.expires_at > now() THEN counter.count + 1 ELSE 1 END,
  expires_at = CASE WHEN counter.expires_at > now() THEN counter.expires_at ELSE excluded.expires_at END
RETURNING count`;

const LIST = `
SELECT family, org, machine, extract(epoch FROM created_at)::bigint AS created, extract(epoch FROM used_at)::bigint AS used
FROM cli_auth_grants WHERE person = $1 AND expires_at > now()`;

class Postgres implements Store, Grants, Counts {
  private pool: Promise<Pool> | undefined;
  private swept = Date.now();

  constructor(private readonly setting: Setting) {}

  async take(mark: Mark, seconds: number): Promise<boolean> {
    const values = [keyOf(mark), randomUUID(), seconds];
    const { rows } = await this.attempts((client) => transaction(client, TAKE, values));
    this.sweep();
    return rows.length === 1;
  }

  async has(mark: Mark): Promise<boolean> {
    const text = "SELECT FROM cli_auth_marks WHERE key = $1 AND expires_at > now()";
    return (await this.query(text, [keyOf(mark)])).length === 1;
  }

  async note(sub: string, grant: Pick<ListedGrant, "family" | "org" | "machine">, seconds: number): Promise<void> {
    const { family, org, machine } = grant;
    const rows = await this.query(NOTE, [family, personKey(sub), org, machine, seconds, MAX_GRANTS]);
    if (rows.length === 0) throw new StoreFull("the store lists too many grants of one person");
  }

  async list(sub: string): Promise<ListedGrant[]> {
    const rows = await this.query(LIST, [personKey(sub)]);
    return rows.map(({ family, org, machine, created, used }) => ({
      family: String(family),
      org: String(org),
      machine: String(machine),
      created: Number(created),
      used: Number(used),
    }));
  }

  async remove(sub: string, family: string): Promise<void> {
    await this.query("DELETE FROM cli_auth_grants WHERE family = $1 AND person = $2", [family, personKey(sub)]);
  }

  async count(name: string, seconds: number): Promise<number> {
    const [row] = await this.query(COUNT, [personKey(name), seconds]);
    return Number(row?.count);
  }

  private async query(text: string, values: unknown[]): Promise<Record<string, unknown>[]> {
    return (await this.attempts((client) => client.query(text, values))).rows;
  }

  private async attempts(work: (client: Client) => Promise<Rows>): Promise<Rows> {
    this.pool ??= this.open();
    const pool = await this.pool; // not timed: the package takes its time where the app has just started
    const end = Date.now() + TIME_LIMIT;
    for (let pause = FIRST_PAUSE; ; pause *= 2) {
      try {
        return await this.attempt(pool, work, end);
      } catch (error) {
        const reason = reasonOf(error);
        if (!reason.again || Date.now() + pause >= end) throw reason.error;
      }
      await new Promise((done) => setTimeout(done, pause));
    }
  }

  // A connection that has failed is not used again: the server takes back what it has not committed, and after a
  // failover the name may lead to another server.
  private async attempt(pool: Pool, work: (client: Client) => Promise<Rows>, end: number): Promise<Rows> {
    const client = await connection(pool, end);
    try {
      const result = await within(end - Date.now(), work(client));
      client.release();
      return result;
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  private async open(): Promise<Pool> {
    const { server, channelBinding } = this.setting;
    const { host, port, user, password, database, tls } = server;
    const { Pool } = await loadPackage();
    const pool = new Pool({
      host,
      port,
      user,
      password,
      database,
      ssl: tls ? { rejectUnauthorized: true, ...(tls.ca ? { ca: tls.ca } : {}) } : false,
      enableChannelBinding: channelBinding,
      application_name: "cli-auth",
      max: MAX_CONNECTIONS,
      connectionTimeoutMillis: TIME_LIMIT,
      idleTimeoutMillis: 30_000,
      allowExitOnIdle: true,
      keepAlive: true,
    });
    pool.on("error", () => {}); // an idle connection broke; the next attempt has another
    return pool;
  }

  // What is over takes no part in anything; it is only taken away. Not waited for, and tried again in a minute.
  private sweep() {
    if (Date.now() - this.swept < SWEEP_EVERY) return;
    this.swept = Date.now();
    for (const table of ["cli_auth_marks", "cli_auth_grants", "cli_auth_counts"]) {
      const some = `SELECT ctid FROM ${table} WHERE expires_at <= now() LIMIT 1000`;
      this.query(`DELETE FROM ${table} WHERE ctid = ANY (ARRAY (${some}))`, []).catch(() => {});
    }
  }
}

async function connection(pool: Pool, end: number): Promise<Client> {
  const connecting = pool.connect();
  try {
    return await within(end - Date.now(), connecting);
  } catch (error) {
    connecting.then(
      (client) => client.release(),
      () => {},
    );
    throw error;
  }
}

// What is answered only after the time limit must not have happened. So nothing counts before COMMIT, which is sent when
// the rest was answered in time. A database may be set to forget the last commits when it crashes; not these.
async function transaction(client: Client, text: string, values: unknown[]): Promise<Rows> {
  await client.query("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL synchronous_commit = on");
  const result = await client.query(text, values);
  await client.query("COMMIT");
  return result;
}

// The cast keeps TypeScript, and the comment a bundler, from complaining of a package that is not there.
async function loadPackage(): Promise<Package> {
  try {
    const loaded: Package & { default?: Package } = await import(/* turbopackOptional: true */ "pg" as string);
    return loaded.default ?? loaded;
  } catch {
    throw new StoreError("CLI_AUTH_STORE needs the package pg when the app is built: npm install pg");
  }
}

/** What the failure means. The text of server and package may repeat values or an address: it is not passed on. */
function reasonOf(error: unknown): { error: StoreError; again: boolean } {
  if (error instanceof StoreError) return { error, again: false };
  const fault = certificateFault(error);
  if (fault) return { error: new StoreError(`the store's certificate is not trusted: ${fault}`), again: false };
  const { code, severity } = (error ?? {}) as { code?: unknown; severity?: unknown };
  const state = severity !== undefined && /^[0-9A-Z]{5}$/.test(String(code)) ? String(code) : "";
  if (["53100", "53200", "53400", "54000"].includes(state))
    return { error: new StoreFull("the store is full"), again: false };
  if (state === "42P01") {
    const what = "the store has no tables: companion add --store postgres prints the SQL that makes them";
    return { error: new StoreError(what), again: false };
  }
  // Of the answers of a server these pass: it stops or starts, has no connection left, is a standby, or two commands met.
  const passes = state === "" || /^(?:08|40|53|57)/.test(state) || state === "25006";
  if (passes) return { error: new StoreError("the store does not answer"), again: true };
  return { error: new StoreError(`the store refuses what it is asked: ${state}`), again: false };
}
