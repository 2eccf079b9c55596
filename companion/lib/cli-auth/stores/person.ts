import { createHash } from "node:crypto";

/** Names a person, or an address, in a store, which does not have to know who it is. */
export function personKey(name: string): string {
  return createHash("sha256").update(name).digest("base64url");
}
