// Whose browser a request comes from: the one place where a Clerk session is read. A token that a server has seen must
// not get through here, or it could approve a grant that outlives it by far. So Clerk's auth() is not enough: it takes
// a token from the Authorization field as well, and one that was made for another app, or for no page at all.

import { auth } from "@clerk/nextjs/server";
import { activeSession } from "./clerk";
import { OAuthError } from "./respond";
import type { Settings } from "./settings";

/**
 * The session of a browser. "renew" is one whose token does not name this app's origin (azp), either because it was
 * stolen, or because Clerk made it for a request without an Origin, such as its handshake. The script on the page can
 * have it renewed with Clerk's own cookie, which the holder of a token alone cannot.
 */
export type BrowserSession =
  | { state: "signed in"; sid: string; sub: string; org: string; expiresAt: number }
  | { state: "renew" }
  | { state: "signed out" };

/** Refuses a request with an Authorization field, of any scheme: no browser sends one by itself. */
export function refuseAuthorization(headers: Headers): void {
  if (headers.has("authorization")) {
    throw new OAuthError(403, "invalid_request", "a request with an Authorization field is refused here");
  }
}

/**
 * The browser's session. Clerk is asked about it: the cookie's token outlives a session by up to a minute, and names
 * the organisation of the tab that wrote it, while tokens are minted for that of the session.
 */
export async function browserSession(settings: Settings, headers: Headers): Promise<BrowserSession> {
  refuseAuthorization(headers);
  const { isAuthenticated, sessionId, userId, sessionClaims } = await auth();
  if (!isAuthenticated || !sessionId) return { state: "signed out" };
  if (sessionClaims.azp !== settings.origin) return { state: "renew" };
  const session = await activeSession(settings, sessionId);
  if (session?.sub !== userId) return { state: "signed out" };
  return { state: "signed in", sid: sessionId, sub: userId, org: session.org, expiresAt: session.expiresAt };
}
