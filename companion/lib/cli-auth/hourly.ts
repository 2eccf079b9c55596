// How many codes and tokens a person, and an address, gets in an hour, counted in the store. A rate limit of your own has
// its place in limit.ts.

import { OAuthError } from "./respond";
import type { Settings } from "./settings";
import type { Counts } from "./stores/interface";

const HOUR = 3600;

/** Counts a request of a person; above the limit it is refused until the hour is over. */
export function countPerson(settings: Settings, counts: Counts | undefined, sub: string): Promise<void> {
  return count(counts, `person ${sub}`, settings.hourly.person);
}

/** Counts a request of an address, where the settings say how many proxies stand in front of the app. */
export async function countAddress(settings: Settings, counts: Counts | undefined, headers: Headers): Promise<void> {
  const address = addressOf(headers, settings.hourly.proxies);
  if (address !== undefined) await count(counts, `address ${address}`, settings.hourly.address);
}

async function count(counts: Counts | undefined, name: string, most: number): Promise<void> {
  if (!counts || most === 0) return;
  const seconds = Date.now() / 1000;
  const hour = Math.floor(seconds / HOUR);
  if ((await counts.count(`${name} ${hour}`, HOUR)) <= most) return;
  const wait = Math.ceil((hour + 1) * HOUR - seconds);
  throw new OAuthError(429, "temporarily_unavailable", "too many requests in this hour", {
    "retry-after": String(wait),
  });
}

/**
 * The address that the outermost proxy saw: each proxy adds one at the end, and what stands before those of our own
 * proxies is the sender's word. Of an IPv6 address the network counts (/64), because one machine has all of it.
 */
export function addressOf(headers: Headers, proxies: number): string | undefined {
  if (proxies === 0) return undefined;
  const all = (headers.get("x-forwarded-for") ?? "").split(",").map((part) => part.trim());
  const address = (all.at(-proxies) ?? all[0] ?? "").toLowerCase();
  if (!/^[0-9a-f:.]{2,45}$/.test(address)) return undefined;
  if (!address.includes(":") || address.includes(".")) return address.replace(/^::ffff:/, "");
  const [head = "", tail] = address.split("::");
  const first = head.split(":").filter(Boolean);
  const last = (tail ?? "").split(":").filter(Boolean);
  const zeros =
    tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - first.length - last.length) }, () => "0");
  return [...first, ...zeros, ...last].slice(0, 4).join(":");
}
