// What a store has to do. Each of the three interfaces is read by another part of the page; a store of your own needs the
// first one only. A store that does not answer is an error, never "not there".

import type { Sealed } from "../seal";

/**
 * What is remembered: that this code or refresh token was used, that all of its family is revoked, or that its person
 * has ended the family on the page of machines, which is revoked then as well.
 */
export type Mark = {
  kind: "used" | "revoked" | "ended";
  of: Pick<Sealed, "jti" | "sub" | "family" | "generation">;
};

export interface Store {
  /** Remembers the mark for so many seconds. True for the first caller, false for every later one. */
  take(mark: Mark, seconds: number): Promise<boolean>;
  /** Whether the mark has been taken. */
  has(mark: Mark): Promise<boolean>;
}

/** A grant, as its person is shown it. The times are seconds since 1970. */
export type ListedGrant = { family: string; org: string; machine: string; created: number; used: number };

/** The grants of each person. Those that are over are not listed. */
export interface Grants {
  /**
   * Notes that a grant is used now, and lives for so many seconds. The first call for a grant says its machine and when it
   * was created. Throws StoreFull where the person has too many.
   */
  note(sub: string, grant: Pick<ListedGrant, "family" | "org" | "machine">, seconds: number): Promise<void>;
  /** The person's grants. */
  list(sub: string): Promise<ListedGrant[]>;
  /** Takes a grant off the person's list. */
  remove(sub: string, family: string): Promise<void>;
}

/** Counters, which are forgotten after their time. */
export interface Counts {
  /** Counts one more of this name, for so many seconds from the first. How many there have been. */
  count(name: string, seconds: number): Promise<number>;
}

/** How many grants a store lists for one person. */
export const MAX_GRANTS = 500;

/** The key of a mark, for a store that keeps each by itself. */
export function keyOf({ kind, of }: Mark): string {
  return kind === "used" ? `used:${of.jti}` : `${kind}:${of.family}`;
}

/** Its message goes to the log, so it names no address, no user and no password. */
export class StoreError extends Error {}

/** The store has no room for another sign-in. What it remembers of the others it goes on remembering. */
export class StoreFull extends StoreError {}

/** How long a store is waited for, in milliseconds. */
export const TIME_LIMIT = 3000;

/** The code of an error that says that a server's certificate is not trusted; undefined for any other error. */
export function certificateFault(error: unknown): string | undefined {
  const code = String((error as { code?: unknown } | null)?.code ?? "");
  return /^[A-Z_]*(?:CERT|SIGNATURE)[A-Z_]*$/.test(code) ? code : undefined;
}

/** What the promise answers, or a StoreError after so many milliseconds. */
export async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, fail) => {
    timer = setTimeout(() => fail(new StoreError("the store does not answer in time")), Math.max(0, milliseconds));
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** One for the whole process: each route is a bundle of its own, with its own copy of every module. */
export function oneForProcess<T>(name: string, make: () => T): T {
  const place = globalThis as { [PLACE]?: Map<string, unknown> };
  place[PLACE] ??= new Map();
  if (!place[PLACE].has(name)) place[PLACE].set(name, make());
  return place[PLACE].get(name) as T;
}

const PLACE = Symbol.for("clerk-credential-helper/stores/3");
