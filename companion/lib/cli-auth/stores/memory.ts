// A store for an app that is one process, which forgets when it ends.

import {
  type Counts,
  type Grants,
  type ListedGrant,
  MAX_GRANTS,
  type Mark,
  oneForProcess,
  type Store,
  StoreFull,
} from "./interface";

const MAX_FAMILIES = 100_000; // of all people, so one of them fills a two-hundredth part of it
const SWEEP_EVERY = 10_000; // ms

// Of a family one generation is good at a time, so it is enough to know the last one that was used: all before it were.
type Family = {
  used: number;
  revoked: boolean;
  ended: boolean;
  until: number;
  listed: Omit<ListedGrant, "family"> | undefined;
};

const MAX_COUNTERS = 100_000;

export function memoryStore(): Store & Grants & Counts {
  return oneForProcess("memory", () => new Memory());
}

class Memory implements Store, Grants, Counts {
  private counters = new Map<string, { count: number; until: number }>();
  private people = new Map<string, Map<string, Family>>();
  private size = 0;
  private swept = 0;

  async take(mark: Mark, seconds: number): Promise<boolean> {
    if (this.knows(mark)) return false;
    const { kind, of } = mark;
    const family = this.find(of) ?? this.add(of);
    if (kind === "used") family.used = of.generation;
    else family[kind] = true;
    family.until = Math.max(family.until, Date.now() + seconds * 1000);
    return true;
  }

  async has(mark: Mark): Promise<boolean> {
    return this.knows(mark);
  }

  async note(sub: string, grant: Pick<ListedGrant, "family" | "org" | "machine">, seconds: number): Promise<void> {
    const family = this.find({ sub, ...grant }) ?? this.add({ sub, ...grant });
    const { org, machine } = grant;
    const used = Math.floor(Date.now() / 1000);
    family.listed = { machine, created: used, ...family.listed, org, used };
    family.until = Math.max(family.until, Date.now() + seconds * 1000);
  }

  async list(sub: string): Promise<ListedGrant[]> {
    const now = Date.now();
    const families = [...(this.people.get(sub) ?? [])].filter(([, { until }]) => until > now);
    return families.flatMap(([family, { listed }]) => (listed ? [{ family, ...listed }] : []));
  }

  async remove(sub: string, family: string): Promise<void> {
    const found = this.find({ sub, family });
    if (found) found.listed = undefined;
  }

  async count(name: string, seconds: number): Promise<number> {
    const now = Date.now();
    const found = this.counters.get(name);
    if (found && found.until > now) {
      found.count += 1;
      return found.count;
    }
    if (this.counters.size >= MAX_COUNTERS) this.counters.clear(); // they are about load; nothing hangs on one of them
    this.counters.set(name, { count: 1, until: now + seconds * 1000 });
    return 1;
  }

  private knows({ kind, of }: Mark): boolean {
    const family = this.find(of);
    if (!family) return false;
    return kind === "used" ? family.used >= of.generation : family[kind];
  }

  private find({ sub, family: name }: Pick<Mark["of"], "sub" | "family">): Family | undefined {
    const family = this.people.get(sub)?.get(name);
    return family && family.until > Date.now() ? family : undefined;
  }

  private add({ sub, family: name }: Pick<Mark["of"], "sub" | "family">): Family {
    if (this.isFull(sub)) this.sweep();
    if (this.isFull(sub)) throw new StoreFull("the memory store is full");
    const family = { used: -1, revoked: false, ended: false, until: 0, listed: undefined };
    const families = this.people.get(sub) ?? new Map<string, Family>();
    this.people.set(sub, families);
    if (!families.has(name)) this.size += 1;
    families.set(name, family);
    return family;
  }

  private isFull(sub: string): boolean {
    return this.size >= MAX_FAMILIES || (this.people.get(sub)?.size ?? 0) >= MAX_GRANTS;
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
