import { createHash } from "node:crypto";

/** Names a person in a store, which does not have to know who it is. */
export function personKey(sub: string): string {
  return createHash("sha256").update(sub).digest("base64url");
}
