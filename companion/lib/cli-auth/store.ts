// The memory of what was used and what was revoked. It needs two operations only, so that any store can stand behind
// it; a database table with a unique key serves as well. A store that does not answer is an error, never "not there".

import { readLimited } from "./read";
import type { Sealed } from "./seal";
import type { Settings } from "./settings";

/** What is remembered: that this code or refresh token was used, or that all of its family is revoked. */
export type Mark = { kind: "used" | "revoked"; of: Pick<Sealed, "jti" | "sub" | "family" | "generation"> };

export interface Store {
  /** Remembers the mark for so many seconds. True for the first caller, false for every later one. */
  take(mark: Mark, seconds: number): Promise<boolean>;
  /** Whether the mark has been taken. */
  has(mark: Mark): Promise<boolean>;
}

/** The key of a mark, for a store that keeps each by itself. */
export function keyOf({ kind, of }: Mark): string {
  return kind === "used" ? `used:${of.jti}` : `revoked:${of.family}`;
}

export class StoreError extends Error {}

/** The store has no room for another sign-in. What it remembers of the others it goes on remembering. */
export class StoreFull extends StoreError {}

/** The store that the settings name; undefined without one. */
export function openStore(settings: Settings): Store | undefined {
  const { store } = settings;
  if (store.kind === "none") return undefined;
  return store.kind === "memory" ? memoryStore() : kvStore(store.url, store.token);
}

const MAX_FAMILIES = 100_000;
const MAX_FAMILIES_OF_ONE = 500; // people; so one of them fills a two-hundredth part of it
const SWEEP_EVERY = 10_000; // ms

// Of a family one generation is good at a time, so it is enough to know the last one that was used: all before it were.
type Family = { used: number; revoked: boolean; until: number };

/** A store for an app that is one process, which forgets when it ends. */
function memoryStore(): Store {
  // Each route is a bundle of its own, with its own copy of this module: the memory has to be the process's.
  const place = globalThis as { [MEMORY]?: Memory };
  place[MEMORY] ??= new Memory();
  return place[MEMORY];
}

const MEMORY = Symbol.for("clerk-credential-helper/store/2");

class Memory implements Store {
  private people = new Map<string, Map<string, Family>>();
  private size = 0;
  private swept = 0;

  async take(mark: Mark, seconds: number): Promise<boolean> {
    if (this.knows(mark)) return false;
    const { kind, of } = mark;
    const family = this.find(of) ?? this.add(of);
    if (kind === "used") family.used = of.generation;
    else family.revoked = true;
    family.until = Math.max(family.until, Date.now() + seconds * 1000);
    return true;
  }

  async has(mark: Mark): Promise<boolean> {
    return this.knows(mark);
  }

  private knows({ kind, of }: Mark): boolean {
    const family = this.find(of);
    if (!family) return false;
    return kind === "used" ? family.used >= of.generation : family.revoked;
  }

  private find({ sub, family: name }: Mark["of"]): Family | undefined {
    const family = this.people.get(sub)?.get(name);
    return family && family.until > Date.now() ? family : undefined;
  }

  private add({ sub, family: name }: Mark["of"]): Family {
    if (this.isFull(sub)) this.sweep();
    if (this.isFull(sub)) throw new StoreFull("the memory store is full");
    const family = { used: -1, revoked: false, until: 0 };
    const families = this.people.get(sub) ?? new Map<string, Family>();
    this.people.set(sub, families);
    if (!families.has(name)) this.size += 1;
    families.set(name, family);
    return family;
  }

  private isFull(sub: string): boolean {
    return this.size >= MAX_FAMILIES || (this.people.get(sub)?.size ?? 0) >= MAX_FAMILIES_OF_ONE;
  }

  private sweep() {
    const now = Date.now();
    if (now - this.swept < SWEEP_EVERY) return; // what is over can wait, and a full store must not cost much
    this.swept = now;
    for (const [sub, families] of this.people) {
      for (const [name, { until }] of families) if (until <= now && families.delete(name)) this.size -= 1;
      if (families.size === 0) this.people.delete(sub);
    }
  }
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
    async take(mark, seconds) {
      const result = await command("SET", `cli-auth:${keyOf(mark)}`, "1", "NX", "EX", String(seconds));
      if (result === "OK") return true;
      if (result === null) return false;
      throw new StoreError("the store's answer to SET is not understood");
    },
    async has(mark) {
      const result = await command("EXISTS", `cli-auth:${keyOf(mark)}`);
      if (result === 1) return true;
      if (result === 0) return false;
      throw new StoreError("the store's answer to EXISTS is not understood");
    },
  };
}
