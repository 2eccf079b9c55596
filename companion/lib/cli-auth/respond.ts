// Answers of the endpoints that the helper calls: JSON, never cached, errors in the shape of RFC 6749 §5.2.

import { ClerkUnavailable } from "./clerk";
import { IssuerUnavailable } from "./keys";
import { BadParameter } from "./request";
import { SettingsError } from "./settings";
import { StoreError, StoreFull } from "./stores/interface";

/** An error with the code that the helper decides by. */
export class OAuthError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    description: string,
    readonly headers: Record<string, string> = {},
  ) {
    super(description);
  }
}

/** The one answer to an invalid grant, whatever the reason: it tells an attacker nothing. */
export function invalidGrant(): OAuthError {
  return new OAuthError(400, "invalid_grant", "the grant is unknown, over, or was used already");
}

export function invalidRequest(description: string): OAuthError {
  return new OAuthError(400, "invalid_request", description);
}

/** An answer in JSON. */
export function json(body: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return Response.json(body, {
    status,
    headers: { "cache-control": "no-store", pragma: "no-cache", "x-content-type-options": "nosniff", ...headers },
  });
}

/** What the handler answers, or the error that it threw, as JSON. */
export async function respond(handler: () => Promise<Response>): Promise<Response> {
  try {
    return await handler();
  } catch (error) {
    const { status, code, message, headers } = toOAuthError(error);
    return json({ error: code, error_description: message }, status, headers);
  }
}

/** The error in a form that may be shown. An unexpected one goes to the log, and its text is not shown. */
export function toOAuthError(error: unknown): OAuthError {
  if (error instanceof OAuthError) return error;
  if (error instanceof BadParameter) return invalidRequest(error.message);
  if (error instanceof IssuerUnavailable) {
    console.error(`cli-auth: ${error.message}`);
    return new OAuthError(503, "temporarily_unavailable", "the token's issuer does not show its keys", {
      "retry-after": "5",
    });
  }
  if (error instanceof ClerkUnavailable || error instanceof StoreError) {
    console.error(`cli-auth: ${error.message}`);
    const wait = error instanceof ClerkUnavailable ? error.retryAfter : error instanceof StoreFull ? 60 : 5;
    const what =
      error instanceof StoreFull
        ? "the store has no room for another sign-in"
        : `${error instanceof ClerkUnavailable ? "Clerk" : "the store"} does not answer`;
    return new OAuthError(503, "temporarily_unavailable", what, { "retry-after": String(wait) });
  }
  if (error instanceof SettingsError) {
    console.error(`cli-auth: ${error.message}`);
    return new OAuthError(500, "server_error", `the app's settings: ${error.message}`);
  }
  console.error("cli-auth:", error);
  return new OAuthError(500, "server_error", "the app's log says what went wrong");
}

/** Refuses a method, naming the one that is allowed. */
export function methodNotAllowed(allow: string): () => Response {
  return () => json({ error: "invalid_request", error_description: "method not allowed" }, 405, { allow });
}
