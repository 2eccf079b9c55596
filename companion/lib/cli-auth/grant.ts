// The life of a grant: a person approves, the helper redeems the code, then one refresh token after another. Every step
// asks Clerk whether the session is still active, still this person's, and still in the organisation that was approved.

import { createHash, timingSafeEqual } from "node:crypto";
import { decodeJwt } from "jose";
import { account, activeSession, ClerkUnavailable, mintToken } from "./clerk";
import { countPerson } from "./hourly";
import type { AuthorizeRequest } from "./request";
import { invalidGrant, OAuthError } from "./respond";
import {
  type Grant,
  now,
  openCode,
  openRefresh,
  randomId,
  type Sealed,
  type SealedCode,
  sealCode,
  sealRefresh,
  Unsealable,
} from "./seal";
import type { Settings } from "./settings";
import { type Counts, type Grants, type Mark, type Store, StoreError } from "./stores/interface";

const CODE_LIFE = 60; // seconds: the browser goes straight back to the helper, which redeems at once
const REFRESH_LIFE = 30 * 24 * 3600;
const SLACK = 3600; // what is remembered is remembered longer than what it refuses lives
const REVOKED_LIFE = REFRESH_LIFE + SLACK;

/** What an app keeps: what was used and revoked, which grants each person has, and how many tokens. Each may be missing. */
export type Kept = { store: Store | undefined; grants: Grants | undefined; counts: Counts | undefined };

/** What the token endpoint answers with. */
export type Tokens = {
  access_token: string;
  token_type: "Bearer";
  expires_in: number;
  refresh_token: string;
  email?: string; // with those of a code
};

/** Seals the code that an approval sends to the helper. */
export function issueCode(settings: Settings, who: Omit<Grant, "family">, request: AuthorizeRequest): Promise<string> {
  const { challenge, port, machine } = request;
  const bound = { challenge, port, machine };
  return sealCode(settings, { ...who, family: randomId() }, bound, now() + CODE_LIFE);
}

/** Tokens for a code, if the verifier is the one whose hash the code was asked with. */
export async function redeemCode(
  settings: Settings,
  kept: Kept,
  { code, verifier, port }: { code: string; verifier: string; port: number },
): Promise<Tokens> {
  const sealed = await openCode(settings, code).catch(refuse);
  if (!verifies(verifier, sealed) || port !== sealed.port) throw invalidGrant();
  return redeem(settings, kept, sealed, sealed.machine);
}

/** Tokens for a refresh token. */
export async function redeemRefresh(settings: Settings, kept: Kept, token: string): Promise<Tokens> {
  return redeem(settings, kept, await openRefresh(settings, token).catch(refuse), "");
}

/** Ends what a refresh token, or a code, has led to. Nothing to do without a store: then nothing is remembered. */
export async function revoke(settings: Settings, kept: Kept, token: string): Promise<void> {
  if (!kept.store) return;
  const sealed = await openRefresh(settings, token).catch(() => openCode(settings, token).catch(() => undefined));
  if (sealed) await revokeFamily(kept, sealed);
}

/** Ends a grant by its person's word. Its helper is told so. */
export async function endGrant(store: Store, grants: Grants, sub: string, family: string): Promise<void> {
  const of = { sub, family, jti: family, generation: 0 };
  await store.take({ kind: "ended", of }, REVOKED_LIFE);
  await store.take({ kind: "revoked", of }, REVOKED_LIFE);
  await grants.remove(sub, family);
}

function refuse(error: unknown): never {
  throw error instanceof Unsealable ? invalidGrant() : error;
}

function verifies(verifier: string, code: SealedCode): boolean {
  const challenge = createHash("sha256").update(verifier).digest("base64url");
  return timingSafeEqual(Buffer.from(challenge), Buffer.from(code.challenge)); // both are 43 characters
}

async function redeem(settings: Settings, kept: Kept, sealed: Sealed, machine: string): Promise<Tokens> {
  const { store, grants } = kept;
  const { family, generation, sid, sub, org } = sealed;
  if (store) {
    if (await store.has({ kind: "revoked", of: sealed })) throw await revoked(store, sealed);
    if (await store.has({ kind: "used", of: sealed })) return reused(kept, sealed);
  }
  await countPerson(settings, kept.counts, sub);
  const session = await activeSession(settings, sid);
  if (!session || session.sub !== sub || session.org !== org) throw invalidGrant();

  // The helper keeps the address that came with the code, and Clerk limits how often it is asked.
  const first = generation === 0;
  const [minted, email] = await Promise.all([mint(settings, sealed), first ? primaryEmail(settings, sub) : ""]);
  const end = Math.min(now() + REFRESH_LIFE, session.expiresAt);
  const refresh = await sealRefresh(settings, { family, generation: generation + 1, sid, sub, org }, end);

  // Taken last, and in one step: a fault on the way leaves the token as good as it was, and of two that come at the
  // same moment one is the second. Before that it is listed, so that no grant lives that its person is not shown.
  // It is remembered for as long as what comes of it lives, so that a grant which lives has its place in a store.
  const remembered = Math.max(sealed.exp, end) - now() + SLACK;
  await grants?.note(sub, { family, org, machine }, remembered);
  if (store && !(await store.take({ kind: "used", of: sealed }, remembered))) return reused(kept, sealed);
  if (store && (await endedMeanwhile(store, sealed))) {
    await unlist(kept, sealed);
    throw await revoked(store, sealed);
  }
  return {
    access_token: minted.jwt,
    token_type: "Bearer",
    expires_in: minted.expiresIn,
    refresh_token: refresh,
    ...(email ? { email } : {}),
  };
}

async function mint(settings: Settings, grant: Grant): Promise<{ jwt: string; expiresIn: number }> {
  const jwt = await mintToken(settings, grant.sid);
  const claims = readClaims(jwt);
  if (claims.sub !== grant.sub) throw invalidGrant();
  if (claims.azp === settings.origin) {
    // As a cookie such a token would be a browser's own to us, and a server that saw it could approve a grant with it.
    throw new OAuthError(500, "server_error", "Clerk's token names this app's pages (azp), which no page asked for");
  }
  if (settings.template && claims.org === undefined) {
    // A template may leave the organisation out. Then the session shows whether it was switched in between.
    const session = await activeSession(settings, grant.sid);
    if (session?.org !== grant.org) throw invalidGrant();
  } else if ((claims.org ?? "") !== grant.org) {
    throw invalidGrant();
  }
  const expiresIn = claims.exp - now();
  if (!(expiresIn > 0)) throw new ClerkUnavailable("a token that has expired already");
  return { jwt, expiresIn };
}

// The signature is the receiving server's to check: this token came from Clerk over TLS a moment ago.
function readClaims(jwt: string) {
  try {
    const {
      sub,
      exp,
      azp,
      o,
      org_id: orgId,
    } = decodeJwt<{ azp?: unknown; o?: { id?: unknown }; org_id?: unknown }>(jwt);
    const org = o?.id ?? orgId;
    return { sub, azp, org: typeof org === "string" ? org : undefined, exp: exp ?? 0 };
  } catch {
    throw new ClerkUnavailable("a token that is not a JWT");
  }
}

// The address is for a person to read: without it a sign-in is as good.
async function primaryEmail(settings: Settings, sub: string): Promise<string> {
  return account(settings, sub).then(
    ({ email }) => email,
    () => "",
  );
}

// A person who ends the grant while it is refreshed has ended it. The token is used by now: with a store that does not
// answer the refresh goes on, rather than take for a fault what cannot be tried again.
async function endedMeanwhile(store: Store, sealed: Sealed): Promise<boolean> {
  return store.has({ kind: "ended", of: sealed }).catch(() => false);
}

// Only what was sealed here gets this far, and who has it may know that its person has ended it.
async function revoked(store: Store, sealed: Sealed): Promise<OAuthError> {
  if (!(await store.has({ kind: "ended", of: sealed }))) return invalidGrant();
  return new OAuthError(
    400,
    "invalid_grant",
    "this machine was signed out on the page of the machines that are signed in",
  );
}

// The value has been copied, and the owner cannot be told from the thief: everything that came of it is refused from
// now on.
async function reused(kept: Kept, sealed: Sealed): Promise<never> {
  await revokeFamily(kept, sealed);
  throw invalidGrant();
}

async function revokeFamily(kept: Kept, of: Mark["of"]): Promise<void> {
  await kept.store?.take({ kind: "revoked", of }, REVOKED_LIFE);
  await unlist(kept, of);
}

// The grant is over by now. One that stays on the list is no reason to say that it is not.
async function unlist({ grants }: Kept, { sub, family }: Mark["of"]): Promise<void> {
  await grants?.remove(sub, family).catch((error) => {
    if (!(error instanceof StoreError)) throw error;
    console.error(`cli-auth: a grant that is over stays on the list: ${error.message}`);
  });
}
