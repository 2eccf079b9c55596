// A Redis behind a REST interface in the style of Upstash and Vercel KV.

import { readLimited } from "../read";
import { commandStore } from "./commands";
import { type Counts, type Grants, type Store, StoreError, StoreFull, TIME_LIMIT } from "./interface";

const MAX_ANSWER = 1 << 20;

export function restStore({ url, token }: { url: string; token: string }): Store & Grants & Counts {
  return commandStore(async (...words) => {
    let answer: unknown;
    let ok = false;
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify(words),
        signal: AbortSignal.timeout(TIME_LIMIT),
        redirect: "error",
        cache: "no-store",
      });
      ok = response.ok;
      answer = JSON.parse((await readLimited(response, MAX_ANSWER)) ?? "");
    } catch {
      // said below: the cause may hold the address or what was answered
    }
    const { result, error } = typeof answer === "object" && answer !== null ? (answer as Answer) : {};
    if (ok && result !== undefined) return result;
    if (typeof error === "string" && /\bOOM\b/.test(error)) throw new StoreFull("the store is full");
    throw new StoreError("the store does not answer");
  });
}

type Answer = { result?: unknown; error?: unknown };
