// Token exchange (RFC 8693) for CI jobs: the OIDC token that a CI has made for its job comes in, a short token of a
// Clerk machine goes out. Which jobs, and which machine, is the policy's word (ci.ts).
//
// What a refusal says: nothing about the policy, because anybody can get a token of a public CI and try names with it.
// Only what the sender could read in the token itself is named (its audience and its times), and only after the
// signature of an issuer of the policy was found good. The app's log names entries and claims. Neither ever repeats a
// value of the token.

import { createHash } from "node:crypto";
import { decodeJwt, decodeProtectedHeader, errors, importJWK, type JWTPayload, jwtVerify } from "jose";
import { ClerkUnavailable, mintMachineToken } from "./clerk";
import { required } from "./form";
import { ALGORITHMS, IssuerKeys } from "./keys";
import { mismatch } from "./policy";
import { single } from "./request";
import { invalidRequest, OAuthError } from "./respond";
import { now } from "./seal";
import type { Rule, Settings } from "./settings";
import type { Mark, Store } from "./stores/interface";

export const TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";

const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";
const SUBJECT_TYPES = ["urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"];

const FORM = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/; // three parts, none empty; the decoder would skip spaces
const LEEWAY = 60; // seconds between the CI's clock and this app's
const MAX_AGE = 3600; // seconds since it was made
const MAX_LIFE = 24 * 3600; // seconds; one that lives longer is a password and no job's token
const MAX_ID = 1024;
const KEYS_FROM_OUTSIDE = ["jwk", "jku", "x5u", "x5c"];

/** What the token endpoint answers with (RFC 8693 §2.2.1). There is never a refresh token: a job asks again. */
export type Exchanged = {
  access_token: string;
  issued_token_type: typeof ACCESS_TOKEN;
  token_type: "Bearer";
  expires_in: number;
};

const issuerKeys = new IssuerKeys();
const warned = new Set<string>();

/** Exchanges a job's token for a machine's. */
export async function exchange(
  settings: Settings,
  store: Store | undefined,
  form: URLSearchParams,
  keys: IssuerKeys = issuerKeys,
): Promise<Exchanged> {
  warn(settings.ciWarnings);
  const token = readRequest(form);
  const payload = await verify(settings, token, keys);
  const rule = choose(settings, payload);
  const mark = rule.once === false ? undefined : markOf(token, payload);
  if (store && mark && (await store.has(mark))) throw refused("the subject token was used already");

  const minted = await mintMachineToken(settings, {
    secretKey: rule.secretKey,
    seconds: rule.seconds,
    format: rule.format ?? "jwt",
    claims: {
      ...(rule.organization ? { org_id: rule.organization } : {}),
      ci: { entry: rule.name, iss: payload.iss, ...(payload.sub === undefined ? {} : { sub: payload.sub }) },
    },
  });
  if ((rule.format ?? "jwt") === "jwt") checkMinted(settings, minted.token);

  // Taken last, so that a fault on the way leaves the job's token as good as it was; what a second one has been minted
  // for is thrown away.
  const remembered = Math.ceil(payload.exp) + 2 * LEEWAY - now();
  if (store && mark && !(await store.take(mark, remembered))) throw refused("the subject token was used already");
  return {
    access_token: minted.token,
    issued_token_type: ACCESS_TOKEN,
    token_type: "Bearer",
    expires_in: minted.expiresIn,
  };
}

function warn(warnings: string[]) {
  for (const warning of warnings) {
    if (warned.has(warning)) continue;
    warned.add(warning);
    console.warn(`cli-auth: lib/cli-auth/ci.ts: ${warning}`);
  }
}

function readRequest(form: URLSearchParams): string {
  const token = required(form, "subject_token");
  if (!SUBJECT_TYPES.includes(required(form, "subject_token_type")))
    throw invalidRequest("subject_token_type must be the one of a jwt or of an id_token");
  if (![ACCESS_TOKEN, ""].includes(single(form, "requested_token_type")))
    throw invalidRequest("requested_token_type must be the one of an access_token");
  if (single(form, "actor_token") || single(form, "actor_token_type"))
    throw invalidRequest("an actor_token is not supported");
  // They would narrow what the token is good for. To ignore them would give more than was asked for.
  if (single(form, "resource") || single(form, "audience"))
    throw new OAuthError(400, "invalid_target", "resource and audience are not supported");
  if (single(form, "scope")) throw new OAuthError(400, "invalid_scope", "a machine's token has no scopes");
  return token;
}

/** A job's token that its issuer has signed, and that is for this app and not over. */
type Verified = JWTPayload & { iss: string; iat: number; exp: number };

async function verify(settings: Settings, token: string, keys: IssuerKeys): Promise<Verified> {
  const { alg, kid, iss } = readUnverified(token);
  const rules = settings.ci.filter((rule) => rule.issuer === iss);
  if (rules.length === 0) throw refused();
  const origins = rules.flatMap((rule) => rule.keyOrigins ?? []);
  const key = await keys.find(iss, origins, kid, alg);
  if (!key) throw refused();

  let payload: JWTPayload;
  try {
    const verified = await jwtVerify(token, await importJWK(key, alg), {
      algorithms: [alg],
      issuer: iss,
      requiredClaims: ["iat", "exp", "aud"],
      clockTolerance: LEEWAY,
      maxTokenAge: MAX_AGE,
    });
    payload = verified.payload;
  } catch (error) {
    throw refused(reasonOf(error));
  }
  const { aud, iat, exp, jti, sub } = payload;
  const audience = Array.isArray(aud) && aud.length === 1 ? aud[0] : aud;
  if (typeof audience !== "string" || !rules.some((rule) => audienceOf(settings, rule) === audience))
    throw refused("the subject token's aud must be this app's origin, and nothing else");
  if (typeof iat !== "number" || typeof exp !== "number" || !(exp - iat > 0 && exp - iat <= MAX_LIFE))
    throw refused("the subject token must live for a day at most");
  if ((jti !== undefined && !isId(jti)) || (sub !== undefined && !isId(sub))) throw refused();
  return { ...payload, iss, aud: audience, iat, exp };
}

// Nothing of this is believed before the signature is verified; it only says which key that takes.
function readUnverified(token: string): { alg: string; kid: string; iss: string } {
  if (!FORM.test(token)) throw refused();
  try {
    const header = decodeProtectedHeader(token);
    const { iss } = decodeJwt(token);
    const { alg, kid, typ } = header;
    if (alg === undefined || !Object.hasOwn(ALGORITHMS, alg) || !isId(kid) || typeof iss !== "string") throw refused();
    // An access token (at+jwt) is for a server, whatever it says; a logout token or an event is no sign of a job.
    if (typ !== undefined && !["jwt", "jose"].includes(String(typ).toLowerCase())) throw refused();
    if (header.crit !== undefined || KEYS_FROM_OUTSIDE.some((name) => Object.hasOwn(header, name))) throw refused();
    return { alg, kid, iss };
  } catch {
    throw refused();
  }
}

// The library looks at the claims after the signature, so a caller that hears a reason has a token of the issuer's.
function reasonOf(error: unknown): string | undefined {
  if (error instanceof errors.JWTExpired)
    return error.claim === "iat" ? "the subject token is older than an hour" : "the subject token has expired";
  if (error instanceof errors.JWTClaimValidationFailed && ["iat", "nbf", "exp", "aud"].includes(error.claim))
    return `the subject token's ${error.claim} is missing or wrong`;
  return undefined;
}

function audienceOf(settings: Settings, rule: Rule): string {
  return rule.audience ?? settings.origin;
}

/** The one entry that a verified token fits. With two of them it would be chance which machine a job gets. */
function choose(settings: Settings, payload: Verified): Rule {
  const rules = settings.ci.filter((rule) => rule.issuer === payload.iss && audienceOf(settings, rule) === payload.aud);
  const judged = rules.map((rule) => ({ rule, claim: mismatch(rule, payload) }));
  const fitting = judged.filter(({ claim }) => claim === undefined);
  const [first] = fitting;
  if (first && fitting.length === 1) return first.rule;
  const why =
    fitting.length > 1
      ? `it fits several entries: ${fitting.map(({ rule }) => rule.name).join(", ")}`
      : judged.map(({ rule, claim }) => `${rule.name} (${claim})`).join(", ");
  console.warn(
    `cli-auth: no token for a job of ${payload.iss}; entries, and the first claim that is different: ${why}`,
  );
  throw refused();
}

// Some CIs make tokens without a jti. Then the token itself is remembered, without its signature: of an ES256 signature
// anybody can make a second one that is as good.
function markOf(token: string, { iss, sub, jti }: Verified): Mark {
  const id = digest(iss, jti === undefined ? "token" : "jti", jti ?? token.slice(0, token.lastIndexOf(".")));
  return { kind: "used", of: { sub: digest(iss, "sub", sub ?? ""), family: id, generation: 0, jti: id } };
}

function digest(...parts: string[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("base64url");
}

// A machine of another Clerk instance: its token would go to servers that this instance's tokens are meant for.
function checkMinted(settings: Settings, token: string) {
  let iss: unknown;
  try {
    iss = decodeJwt(token).iss;
  } catch {
    throw new ClerkUnavailable("a machine token that is not a JWT");
  }
  if (iss !== settings.clerk)
    throw new OAuthError(500, "server_error", "the machine's key is one of another Clerk instance");
}

// RFC 8693 §2.2.2 has invalid_request for a subject token that is not taken. invalid_grant is what tells a client apart
// from a broken one, here as with every other grant.
function refused(reason = "the subject token is not one that this app takes"): OAuthError {
  return new OAuthError(400, "invalid_grant", reason);
}

function isId(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= MAX_ID;
}
