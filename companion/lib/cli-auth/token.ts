// The token and revocation endpoints. They are for programs: no cookie is looked at, and the only thing that counts is
// what the caller holds (a code and its verifier, a refresh token, or a CI job's token).

import { exchange, TOKEN_EXCHANGE } from "./exchange";
import { readForm, required } from "./form";
import { type Kept, redeemCode, redeemRefresh, revoke } from "./grant";
import { countAddress } from "./hourly";
import { type RateLimit, rateLimit } from "./limit";
import { CLIENT_ID, parseRedirect, single } from "./request";
import { invalidRequest, json, OAuthError, respond } from "./respond";
import { readSettings, type Settings } from "./settings";
import { openCounts, openGrants, openStore } from "./store";

/** POST /api/cli-auth/token */
export function token(request: Request, limit: RateLimit = rateLimit): Promise<Response> {
  return respond(async () => {
    const settings = readSettings();
    const form = await readClientForm(request, "token", limit);
    const kept = openKept(settings);
    await countAddress(settings, kept.counts, request.headers);
    const grantType = required(form, "grant_type");
    if (grantType === "refresh_token") {
      return json(await redeemRefresh(settings, kept, required(form, "refresh_token")));
    }
    if (grantType === TOKEN_EXCHANGE && settings.ci.length > 0) return json(await exchange(settings, kept.store, form));
    if (grantType !== "authorization_code") {
      throw new OAuthError(400, "unsupported_grant_type", "only authorization_code and refresh_token are granted");
    }
    const code = required(form, "code");
    const port = parseRedirect(required(form, "redirect_uri"));
    if (port === undefined) throw invalidRequest("redirect_uri is not http://127.0.0.1:PORT/callback");
    const verifier = required(form, "code_verifier");
    if (!/^[A-Za-z0-9._~-]{43,128}$/.test(verifier)) throw invalidRequest("code_verifier has not the form of one");
    return json(await redeemCode(settings, kept, { code, verifier, port }));
  });
}

/** POST /api/cli-auth/revoke (RFC 7009): 200 also for tokens that are not ours, or over. */
export function revocation(request: Request, limit: RateLimit = rateLimit): Promise<Response> {
  return respond(async () => {
    const settings = readSettings();
    const form = await readClientForm(request, "revoke", limit);
    const kept = openKept(settings);
    await revoke(settings, kept, required(form, "token"));
    return json({});
  });
}

function openKept(settings: Settings): Kept {
  return { store: openStore(settings), grants: openGrants(settings), counts: openCounts(settings) };
}

async function readClientForm(request: Request, endpoint: "token" | "revoke", limit: RateLimit) {
  const wait = await limit(request, endpoint);
  if (wait > 0) {
    const after = { "retry-after": String(Math.ceil(wait)) };
    throw new OAuthError(429, "temporarily_unavailable", "too many requests", after);
  }
  const form = await readForm(request);
  if (single(form, "client_id") !== CLIENT_ID) throw new OAuthError(401, "invalid_client", "unknown client");
  return form;
}
