// A Redis behind a REST interface in the style of Upstash and Vercel KV.

import { ask } from "../read";
import { commandStore } from "./commands";
import { type Counts, type Grants, type Store, StoreError, StoreFull, TIME_LIMIT } from "./interface";

const MAX_ANSWER = 1 << 20;

export function restStore({ url, token }: { url: string; token: string }): Store & Grants & Counts {
  return commandStore(async (...words) => {
    let answer: unknown;
    let ok = false;
    try {
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
      const { response, text } = await ask(
        url,
        { method: "POST", headers, body: JSON.stringify(words) },
        { milliseconds: TIME_LIMIT, max: MAX_ANSWER },
      );
      ok = response.ok;
      answer = JSON.parse(text ?? "");
    } catch {
      // said below: the cause may hold the address or what was answered
    }
    const { result, error }: Answer = typeof answer === "object" && answer !== null ? { ...answer } : {};
    if (ok && result !== undefined) return result;
    if (typeof error === "string" && /\bOOM\b/.test(error)) throw new StoreFull("the store is full");
    throw new StoreError("the store does not answer");
  });
}

type Answer = { result?: unknown; error?: unknown };
