// Who this server is and where its endpoints are (RFC 8414), and what the company publishes for its people.

import { TOKEN_EXCHANGE } from "./exchange";
import { json, respond } from "./respond";
import { readSettings } from "./settings";
import { VERSION } from "./version";

/** GET /.well-known/oauth-authorization-server */
export function metadata(): Promise<Response> {
  return respond(async () => {
    const { origin, clerk, store, ci } = readSettings();
    return json({
      issuer: origin,
      authorization_endpoint: `${origin}/cli-auth`,
      token_endpoint: `${origin}/api/cli-auth/token`,
      revocation_endpoint: `${origin}/api/cli-auth/revoke`,
      jwks_uri: `${clerk}/.well-known/jwks.json`,
      response_types_supported: ["code"],
      response_modes_supported: ["query"],
      grant_types_supported: ["authorization_code", "refresh_token", ...(ci.length > 0 ? [TOKEN_EXCHANGE] : [])],
      token_endpoint_auth_methods_supported: ["none"],
      revocation_endpoint_auth_methods_supported: ["none"],
      code_challenge_methods_supported: ["S256"],
      authorization_response_iss_parameter_supported: true,
      prompt_values_supported: ["consent"],
      clerk_companion: { version: 1, page_version: VERSION, clerk_issuer: clerk, store: store.kind !== "none" },
    });
  });
}

/** GET /.well-known/clerk-credential-helper.json: what `clerk-credential-helper setup ADDRESS` fetches. */
export function company(): Promise<Response> {
  return respond(async () => {
    const { company } = readSettings();
    return company ? json(company) : json({ error: "not_found" }, 404);
  });
}
