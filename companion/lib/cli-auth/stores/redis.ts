// A Redis (or Valkey) server, by the package redis. All requests of a process share one connection. When it breaks, or
// when an answer takes too long, it is closed, and a new one is made: after a failover the name may lead to another
// server.

import { createHash } from "node:crypto";
import { type Command, commandStore } from "./commands";
import {
  type Counts,
  certificateFault,
  type Grants,
  oneForProcess,
  type Store,
  StoreError,
  StoreFull,
  TIME_LIMIT,
  within,
} from "./interface";
import type { Server } from "./setting";

const MAX_WAITING = 10_000; // commands without an answer; more of them are refused
const FIRST_PAUSE = 50; // ms between two attempts, twice as long each time

/** What we use of the package, which an app without such a store does not have. */
type Client = {
  connect(): Promise<unknown>;
  sendCommand(words: string[]): Promise<unknown>;
  destroy(): void;
  unref(): void;
  on(event: "error", listener: () => void): unknown;
};

type Package = { createClient(options: object): Client };

export function redisStore({ server }: { server: Server }): Store & Grants & Counts {
  const name = createHash("sha256").update(JSON.stringify(server)).digest("base64url");
  return oneForProcess(`redis ${name}`, () => {
    const connection = new Connection(server);
    return commandStore((...words) => connection.command(words));
  });
}

class Connection {
  private client: Promise<Client> | undefined;
  private waiting = 0;

  constructor(private readonly server: Server) {}

  async command(words: string[]): ReturnType<Command> {
    if (this.waiting >= MAX_WAITING) throw new StoreError("too many commands wait for the store");
    this.waiting += 1;
    try {
      return await this.attempts(words);
    } finally {
      this.waiting -= 1;
    }
  }

  private async attempts(words: string[]): Promise<unknown> {
    const { createClient } = await loadPackage(); // which takes its time where the app has just started
    const end = Date.now() + TIME_LIMIT;
    for (let pause = FIRST_PAUSE; ; pause *= 2) {
      this.client ??= this.connect(createClient);
      const client = this.client;
      try {
        const send = client.then((connected) => connected.sendCommand(words));
        return await within(end - Date.now(), send);
      } catch (error) {
        const reason = reasonOf(error);
        if (reason.drop) this.drop(client);
        if (!reason.again || Date.now() + pause >= end) throw reason.error;
      }
      await new Promise((done) => setTimeout(done, pause));
    }
  }

  private drop(client: Promise<Client>) {
    if (this.client === client) this.client = undefined;
    client.then(
      (connected) => connected.destroy(),
      () => {},
    );
  }

  private async connect(createClient: Package["createClient"]): Promise<Client> {
    const { host, port, user, password, database, tls } = this.server;
    const client = createClient({
      socket: {
        host,
        port,
        connectTimeout: TIME_LIMIT,
        reconnectStrategy: false, // see attempts
        ...(tls ? { tls: true, ...(tls.ca ? { ca: tls.ca } : {}) } : {}),
      },
      ...(user ? { username: user } : {}),
      ...(password ? { password } : {}),
      ...(database ? { database: Number(database) } : {}),
      RESP: 2,
      disableOfflineQueue: true,
      disableClientInfo: true,
      maintNotifications: "disabled",
    });
    client.on("error", () => {}); // each command that fails for it says so
    await client.connect();
    client.unref(); // an idle connection holds up no process that wants to end
    void warnOfEviction(client);
    return client;
  }
}

// The cast keeps TypeScript, and the comment a bundler, from complaining of a package that is not there.
async function loadPackage(): Promise<Package> {
  try {
    return await import(/* turbopackOptional: true */ "redis" as string);
  } catch {
    throw new StoreError("CLI_AUTH_STORE needs the package redis when the app is built: npm install redis");
  }
}

// A server that makes room by forgetting keys forgets that a code was used.
async function warnOfEviction(client: Client) {
  const info = await client.sendCommand(["INFO", "memory"]).catch(() => ""); // not every user may ask
  const policy = /^maxmemory_policy:([a-z-]+)\r?$/m.exec(String(info))?.[1];
  if (policy === undefined || policy === "noeviction") return;
  console.warn(`cli-auth: the store's maxmemory-policy is ${policy}: a full store would forget what was used`);
}

/** What the failure means. The texts of server and package may repeat a command or an address: they are not passed on. */
function reasonOf(error: unknown): { error: StoreError; again: boolean; drop: boolean } {
  if (error instanceof StoreError) return { error, again: false, drop: true };
  const fault = certificateFault(error);
  if (fault)
    return { error: new StoreError(`the store's certificate is not trusted: ${fault}`), again: false, drop: true };
  const code = /^([A-Z]+)(?: |$)/.exec(error instanceof Error ? error.message : "")?.[1] ?? "";
  switch (code) {
    case "OOM":
      return { error: new StoreFull("the store is full"), again: false, drop: false };
    case "WRONGPASS":
    case "NOAUTH":
    case "NOPERM":
    case "ERR":
      return { error: new StoreError(`the store refuses what it is asked: ${code}`), again: false, drop: true };
  }
  return { error: new StoreError("the store does not answer"), again: true, drop: true };
}
