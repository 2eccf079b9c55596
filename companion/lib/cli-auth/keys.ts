// The public keys of the CIs that the policy names, by discovery at each issuer (OpenID Connect Discovery 1.0 §4). They
// are kept for a while, and a token with an unknown key cannot make this app ask an issuer without end.

import type { JWK } from "jose";
import { isHttpsOrLoopback } from "./address";
import { ask } from "./read";

/** An issuer's keys cannot be had: it does not answer, or not with what it must. */
export class IssuerUnavailable extends Error {
  constructor(issuer: string, what: string) {
    super(`the issuer ${issuer}: ${what}`);
  }
}

/** The algorithms that a job's token may be signed with, and the kind of key that each needs. */
export const ALGORITHMS: Record<string, { kty: string; crv?: string }> = {
  RS256: { kty: "RSA" },
  PS256: { kty: "RSA" },
  ES256: { kty: "EC", crv: "P-256" },
};

const KEEP = 10 * 60_000; // ms: a key that an issuer withdraws is refused after this time
const ASK_AGAIN = 30_000; // ms between two questions for an unknown key
const PAUSE = 5000; // ms after a failure
const TIME_LIMIT = 5000; // ms for each of the two questions; the helper waits 30 s for everything
const MAX_ANSWER = 256 * 1024;

type Kept = { keys: JWK[]; at: number };

/** Keys of issuers, in the memory of the process. */
export class IssuerKeys {
  private readonly kept = new Map<string, Kept>();
  private readonly asking = new Map<string, Promise<Kept>>();
  private readonly failed = new Map<string, { error: unknown; at: number }>();

  constructor(private readonly now: () => number = () => performance.now()) {}

  /**
   * The one key of an issuer with this id for this algorithm; undefined if there is none, or more than one. origins are
   * those besides the issuer's own that may serve the keys.
   */
  async find(issuer: string, origins: string[], kid: string, alg: string): Promise<JWK | undefined> {
    const first = await this.keys(issuer, origins, KEEP);
    const found = pick(first.keys, kid, alg);
    if (found || this.now() - first.at < ASK_AGAIN) return found;
    return pick((await this.keys(issuer, origins, ASK_AGAIN)).keys, kid, alg);
  }

  private async keys(issuer: string, origins: string[], age: number): Promise<Kept> {
    const kept = this.kept.get(issuer);
    if (kept && this.now() - kept.at < age) return kept;
    const failed = this.failed.get(issuer);
    if (failed && this.now() - failed.at < PAUSE) throw failed.error;
    let asking = this.asking.get(issuer);
    if (!asking) {
      asking = this.ask(issuer, origins).finally(() => this.asking.delete(issuer));
      this.asking.set(issuer, asking);
    }
    return asking;
  }

  private async ask(issuer: string, origins: string[]): Promise<Kept> {
    try {
      const kept = { keys: await discover(issuer, origins), at: this.now() };
      this.kept.set(issuer, kept);
      this.failed.delete(issuer);
      return kept;
    } catch (error) {
      this.failed.set(issuer, { error, at: this.now() });
      throw error;
    }
  }
}

async function discover(issuer: string, origins: string[]): Promise<JWK[]> {
  const described = await fetchJson(issuer, `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  if (described.issuer !== issuer) throw new IssuerUnavailable(issuer, "its discovery document names another issuer");
  const { jwks_uri: address } = described;
  const url = typeof address === "string" && URL.canParse(address) ? new URL(address) : undefined;
  if (!url || !isHttpsOrLoopback(url) || url.username || url.password)
    throw new IssuerUnavailable(issuer, "its jwks_uri is not an https address");
  if (![new URL(issuer).origin, ...origins].includes(url.origin))
    throw new IssuerUnavailable(issuer, `its keys are at ${url.origin}, which keyOrigins does not name`);
  const { keys } = await fetchJson(issuer, url.href);
  if (!Array.isArray(keys)) throw new IssuerUnavailable(issuer, "its keys are not a JWK set");
  return keys.filter((key): key is JWK => typeof key === "object" && key !== null);
}

async function fetchJson(issuer: string, address: string): Promise<Record<string, unknown>> {
  const headers = { accept: "application/json", "user-agent": "clerk-credential-helper-companion/1" };
  const { response, text } = await ask(address, { headers }, { milliseconds: TIME_LIMIT, max: MAX_ANSWER }).catch(
    () => {
      throw new IssuerUnavailable(issuer, "no answer about its keys");
    },
  );
  if (!response.ok) throw new IssuerUnavailable(issuer, `status ${response.status} for its keys`);
  if (text === undefined) throw new IssuerUnavailable(issuer, "its answer is too large");
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return { ...value };
  } catch {
    // said below
  }
  throw new IssuerUnavailable(issuer, "its answer is not JSON");
}

// Of a key nothing but its public numbers is used.
function pick(keys: JWK[], kid: string, alg: string): JWK | undefined {
  const kind = Object.hasOwn(ALGORITHMS, alg) ? ALGORITHMS[alg] : undefined;
  if (!kind) return undefined;
  const fitting = keys.filter(
    (key) =>
      key.kid === kid &&
      key.kty === kind.kty &&
      key.crv === kind.crv &&
      (key.alg === undefined || key.alg === alg) &&
      (key.use === undefined || key.use === "sig") &&
      (key.key_ops === undefined || (Array.isArray(key.key_ops) && key.key_ops.includes("verify"))),
  );
  const key = fitting[0];
  if (!key || fitting.length > 1) return undefined;
  const { kty, n, e, crv, x, y } = key;
  return kty === "RSA" ? ({ kty, n, e } as JWK) : ({ kty, crv, x, y } as JWK);
}
