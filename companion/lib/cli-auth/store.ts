// The memory of what was used and what was revoked. It needs two operations only, so that any store can stand behind
// it; a database table with a unique key serves as well. A store that does not answer is an error, never "not there".

import { readLimited } from "./read";
import type { Settings } from "./settings";

export interface Store {
  /** Remembers the key for so many seconds. True for the first caller, false for every later one. */
  take(key: string, seconds: number): Promise<boolean>;
  /** Whether the key has been taken. */
  has(key: string): Promise<boolean>;
}

export class StoreError extends Error {}

/** The store that the settings name; undefined without one. */
export function openStore(settings: Settings): Store | undefined {
  const { store } = settings;
  if (store.kind === "none") return undefined;
  return store.kind === "memory" ? memoryStore() : kvStore(store.url, store.token);
}

const MAX_KEYS = 100_000;

/** A store for an app that is one process, which forgets when it ends. */
function memoryStore(): Store {
  // Each route is a bundle of its own, with its own copy of this module: the map has to be the process's.
  const place = globalThis as { [MAP]?: Map<string, number> };
  place[MAP] ??= new Map();
  const until = place[MAP];
  const has = (key: string) => (until.get(key) ?? 0) > Date.now();
  return {
    async take(key, seconds) {
      if (has(key)) return false;
      if (until.size >= MAX_KEYS) sweep(until);
      if (until.size >= MAX_KEYS) throw new StoreError("the memory store is full");
      until.set(key, Date.now() + seconds * 1000);
      return true;
    },
    async has(key) {
      return has(key);
    },
  };
}

const MAP = Symbol.for("clerk-credential-helper/store/1");

function sweep(until: Map<string, number>) {
  for (const [key, end] of until) if (end <= Date.now()) until.delete(key);
}

/** A Redis behind a REST interface in the style of Upstash and Vercel KV. */
export function kvStore(url: string, token: string): Store {
  const command = async (...words: string[]): Promise<unknown> => {
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify(words),
        signal: AbortSignal.timeout(3000),
        redirect: "error",
        cache: "no-store",
      });
      const text = await readLimited(response, 16 * 1024);
      const answer: unknown = JSON.parse(text ?? "");
      if (response.ok && typeof answer === "object" && answer !== null && "result" in answer) return answer.result;
    } catch {
      // said below: the cause may hold the address or what was answered
    }
    throw new StoreError("the store does not answer");
  };
  return {
    async take(key, seconds) {
      const result = await command("SET", `cli-auth:${key}`, "1", "NX", "EX", String(seconds));
      if (result === "OK") return true;
      if (result === null) return false;
      throw new StoreError("the store's answer to SET is not understood");
    },
    async has(key) {
      const result = await command("EXISTS", `cli-auth:${key}`);
      if (result === 1) return true;
      if (result === 0) return false;
      throw new StoreError("the store's answer to EXISTS is not understood");
    },
  };
}
