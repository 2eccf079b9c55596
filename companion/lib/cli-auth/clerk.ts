// The few calls to Clerk's Backend API. Only a plain "no such session" counts as no: every other failure (no network, a
// rate limit, a fault there, a wrong secret key here) means "try again later", so that it signs no user out.

import { ask } from "./read";
import type { Settings } from "./settings";

const TIME_LIMIT = 8000; // ms; the helper waits 30 s for the whole of a refresh
const MAX_ANSWER = 256 * 1024;

/** Clerk did not answer, or not with an answer to the question. */
export class ClerkUnavailable extends Error {
  constructor(
    what: string,
    /** Seconds after which asking again makes sense. */
    readonly retryAfter = 5,
  ) {
    super(`clerk is not available: ${what}`);
  }
}

/** A session that is active. org is empty while the person is in the personal account. */
export type ClerkSession = { sub: string; org: string; expiresAt: number };

/** The session, if it is active; undefined if it is unknown, ended, revoked, or whatever else. */
export async function activeSession(settings: Settings, sid: string): Promise<ClerkSession | undefined> {
  const session = await call(settings.backend, "GET", `/v1/sessions/${encodeURIComponent(sid)}`);
  if (session?.status !== "active") return undefined;
  const { user_id: sub, last_active_organization_id: org, expire_at: expireAt } = session;
  if (typeof sub !== "string") throw new ClerkUnavailable("a session without a user");
  return {
    sub,
    org: typeof org === "string" ? org : "",
    expiresAt: typeof expireAt === "number" ? Math.floor(expireAt / 1000) : Number.POSITIVE_INFINITY,
  };
}

/** A new token of the session. A 404 here is a template that does not exist, or a session that ended this moment. */
export async function mintToken(settings: Settings, sid: string): Promise<string> {
  const path = `/v1/sessions/${encodeURIComponent(sid)}/tokens`;
  const minted = settings.template
    ? await call(settings.backend, "POST", `${path}/${settings.template}`, {})
    : await call(settings.backend, "POST", path, { expires_in_seconds: settings.tokenSeconds });
  if (typeof minted?.jwt !== "string") throw new ClerkUnavailable("no token was minted");
  return minted.jwt;
}

/** A token of a machine (M2M), and how many seconds it lives. */
export type MachineToken = { token: string; expiresIn: number };

/** What a machine's token is to be. */
export type MachineTokenRequest = {
  /** The machine's secret key. */
  secretKey: string;
  seconds: number;
  format: "jwt" | "opaque";
  claims: Record<string, unknown>;
};

/** A new token of the machine that the secret key is of. */
export async function mintMachineToken(settings: Settings, wanted: MachineTokenRequest): Promise<MachineToken> {
  const { secretKey, seconds, format, claims } = wanted;
  const body = { token_format: format, seconds_until_expiration: seconds, claims };
  const minted = await call({ ...settings.backend, secretKey }, "POST", "/v1/m2m_tokens", body);
  const { token, expiration } = minted ?? {};
  if (typeof token !== "string" || token === "") throw new ClerkUnavailable("no machine token was minted");
  // Without an end of its own it would be good for ever, which no entry of the policy can say.
  const left = typeof expiration === "number" ? Math.floor((expiration - Date.now()) / 1000) : 0;
  if (left <= 0) throw new ClerkUnavailable("a machine token without an end, or one that is over");
  if (left > seconds + 60) throw new ClerkUnavailable("a machine token that lives longer than was asked for");
  return { token, expiresIn: Math.min(left, seconds) };
}

/** A person, as the consent page names one. */
export type Account = { name: string; email: string; emails: string[] };

export async function account(settings: Settings, sub: string): Promise<Account> {
  const user = await call(settings.backend, "GET", `/v1/users/${encodeURIComponent(sub)}`);
  const addresses = records(user?.email_addresses).map((item) => ({ id: item.id, email: text(item.email_address) }));
  const primary = addresses.find((item) => item.id === user?.primary_email_address_id) ?? addresses[0];
  const name = [text(user?.first_name), text(user?.last_name)].filter(Boolean).join(" ") || text(user?.username);
  return { name, email: primary?.email ?? "", emails: addresses.map((item) => item.email) };
}

/** An organisation that a person is a member of. */
export type Organization = { id: string; name: string };

/** The person's organisations; none where the instance has no organisations. */
export async function organizations(settings: Settings, sub: string): Promise<Organization[]> {
  const path = `/v1/users/${encodeURIComponent(sub)}/organization_memberships?limit=100`;
  const list = await call(settings.backend, "GET", path, undefined, [403, 404, 422]);
  return records(list?.data).map(({ organization }) => {
    const { id, name } = record(organization);
    return { id: text(id), name: text(name) || text(id) };
  });
}

/** Asks Clerk. The answer is undefined if its status is one of those that mean "there is none". */
async function call(
  backend: Settings["backend"],
  method: "GET" | "POST",
  path: string,
  body?: Record<string, unknown>,
  none: number[] = method === "GET" ? [404] : [],
): Promise<Record<string, unknown> | undefined> {
  let response: Response;
  let answer: string | undefined;
  try {
    ({ response, text: answer } = await ask(
      backend.url + path,
      {
        method,
        headers: {
          authorization: `Bearer ${backend.secretKey}`,
          "content-type": "application/json",
          "user-agent": "clerk-credential-helper-companion/1",
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
      },
      { milliseconds: TIME_LIMIT, max: MAX_ANSWER },
    ));
  } catch {
    throw new ClerkUnavailable("no answer");
  }
  if (none.includes(response.status)) return undefined;
  if (!response.ok) throw new ClerkUnavailable(`status ${response.status}`, retryAfter(response));
  try {
    return record(JSON.parse(answer ?? ""));
  } catch {
    throw new ClerkUnavailable("an answer that is not JSON");
  }
}

function retryAfter(response: Response): number {
  const seconds = Number(response.headers.get("retry-after") ?? "");
  return seconds >= 1 && seconds <= 300 ? Math.ceil(seconds) : 5;
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function records(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.map(record) : [];
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
