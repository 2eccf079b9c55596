// A store made of Redis commands, whichever way they are sent.

import { randomUUID } from "node:crypto";
import {
  type Counts,
  type Grants,
  keyOf,
  type ListedGrant,
  MAX_GRANTS,
  type Mark,
  type Store,
  StoreError,
  StoreFull,
} from "./interface";
import { personKey } from "./person";

/** Sends one command. It may be sent twice if the connection broke, so each of ours does the same the second time. */
export type Command = (...words: string[]) => Promise<unknown>;

// A command that is late is carried out all the same, when the server gets to it: a code would then be used, and the
// helper would have been told that it is not. So a mark is taken until a moment on the server's own clock and not after.
// It holds who took it, so that a command that is sent again is not taken for the second use.
const TAKE_WITHIN = 2000; // ms
const TAKE = `
local now = redis.call('TIME')
if now[1] * 1000 + now[2] / 1000 > tonumber(ARGV[3]) then return -1 end
local had = redis.call('GET', KEYS[1])
if had then return had == ARGV[1] and 1 or 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1`;

// Of each grant a hash has what was said first, and what was said last.
const NOTE = `
if redis.call('HEXISTS', KEYS[1], 'first:' .. ARGV[1]) == 0 then
  if redis.call('HLEN', KEYS[1]) >= 2 * tonumber(ARGV[5]) then return 0 end
  redis.call('HSET', KEYS[1], 'first:' .. ARGV[1], ARGV[2])
end
redis.call('HSET', KEYS[1], 'last:' .. ARGV[1], ARGV[3])
if redis.call('TTL', KEYS[1]) < tonumber(ARGV[4]) then redis.call('EXPIRE', KEYS[1], ARGV[4]) end
return 1`;

const COUNT = `
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return count`;

const LIST = "return redis.call('HGETALL', KEYS[1])"; // a script's answer has one form in every version of the protocol

export function commandStore(command: Command): Store & Grants & Counts {
  return new CommandStore(command);
}

class CommandStore implements Store, Grants, Counts {
  constructor(private readonly command: Command) {}

  async take(mark: Mark, seconds: number): Promise<boolean> {
    const now = await this.command("TIME");
    const [second, micros] = Array.isArray(now) ? now.map(Number) : [];
    if (!Number.isInteger(second) || !Number.isInteger(micros)) throw notUnderstood("TIME");
    const deadline = Number(second) * 1000 + Math.floor(Number(micros) / 1000) + TAKE_WITHIN;
    const words = [markKey(mark), randomUUID(), String(seconds), String(deadline)];
    const result = await this.command("EVAL", TAKE, "1", ...words);
    if (result === -1) throw new StoreError("the store came to a command too late, and did not do it");
    if (result === 1) return true;
    if (result === 0) return false;
    throw notUnderstood("EVAL");
  }

  async has(mark: Mark): Promise<boolean> {
    const result = await this.command("EXISTS", markKey(mark));
    if (result === 1) return true;
    if (result === 0) return false;
    throw notUnderstood("EXISTS");
  }

  async note(sub: string, grant: Pick<ListedGrant, "family" | "org" | "machine">, seconds: number): Promise<void> {
    const { family, org, machine } = grant;
    const used = Math.floor(Date.now() / 1000);
    const first = JSON.stringify({ machine, created: used });
    const last = JSON.stringify({ org, used, until: used + seconds });
    const send = () =>
      this.command("EVAL", NOTE, "1", grantsKey(sub), family, first, last, String(seconds), String(MAX_GRANTS));
    let result = await send();
    if (result === 0) {
      await this.list(sub); // which takes away those that are over
      result = await send();
    }
    if (result === 0) throw new StoreFull("the store lists too many grants of one person");
    if (result !== 1) throw notUnderstood("EVAL");
  }

  async list(sub: string): Promise<ListedGrant[]> {
    const answer = await this.command("EVAL", LIST, "1", grantsKey(sub));
    if (!Array.isArray(answer)) throw notUnderstood("HGETALL");
    const fields = new Map<string, Record<string, unknown>>();
    for (let at = 0; at + 1 < answer.length; at += 2) fields.set(String(answer[at]), parsed(answer[at + 1]));
    const now = Date.now() / 1000;
    const over: string[] = [];
    const grants: ListedGrant[] = [];
    for (const [name, first] of fields) {
      if (!name.startsWith("first:")) continue;
      const family = name.slice("first:".length);
      const { org, used, until } = fields.get(`last:${family}`) ?? {};
      const { machine, created } = first;
      if (!(Number(until) > now)) over.push(name, `last:${family}`);
      else
        grants.push({
          family,
          org: String(org),
          machine: String(machine),
          created: Number(created),
          used: Number(used),
        });
    }
    if (over.length > 0) await this.command("HDEL", grantsKey(sub), ...over);
    return grants;
  }

  async remove(sub: string, family: string): Promise<void> {
    await this.command("HDEL", grantsKey(sub), `first:${family}`, `last:${family}`);
  }

  async count(name: string, seconds: number): Promise<number> {
    const result = await this.command("EVAL", COUNT, "1", `cli-auth:count:${personKey(name)}`, String(seconds));
    if (typeof result !== "number" || result < 1) throw notUnderstood("EVAL");
    return result;
  }
}

function markKey(mark: Mark): string {
  return `cli-auth:${keyOf(mark)}`;
}

function grantsKey(sub: string): string {
  return `cli-auth:grants:${personKey(sub)}`;
}

function parsed(text: unknown): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(String(text));
    if (typeof value === "object" && value !== null) return { ...value };
  } catch {
    // said below
  }
  throw notUnderstood("HGETALL");
}

function notUnderstood(command: string): StoreError {
  return new StoreError(`the store's answer to ${command} is not understood`);
}
