// Codes and refresh tokens are sealed values: the grant itself, encrypted (JWE, AES-256-GCM), so that nothing has to be
// stored to recognise one. Each kind has its own key, so a code never opens as a refresh token.

import { createHash, hkdfSync, randomBytes } from "node:crypto";
import { decodeProtectedHeader, EncryptJWT, jwtDecrypt } from "jose";
import type { Settings } from "./settings";

export type Kind = "code" | "refresh";

/** What a person has approved: this session of this user, in this organisation (empty: the personal account). */
export type Grant = { family: string; sid: string; sub: string; org: string };

/** A grant that was sealed. family is shared by a code, generation 0, and every refresh token that comes of it. */
export type Sealed = Grant & { generation: number; jti: string; exp: number };

/** What a code is bound to: the challenge and the port that it was asked with, and what the machine calls itself. */
export type Bound = { challenge: string; port: number; machine: string };

export type SealedCode = Sealed & Bound;

/** A value that is not ours, not of this kind, over, or changed. Which of these it is stays here. */
export class Unsealable extends Error {}

const MAX_SEALED = 4096;
const FORM = /^[A-Za-z0-9_-]+\.\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/; // the decoder would skip spaces
const CLOCK_SKEW = 60; // between the machines that one app runs on
const ID = /^[A-Za-z0-9_-]{1,128}$/;

export function randomId(): string {
  return randomBytes(24).toString("base64url");
}

export function now(): number {
  return Math.floor(Date.now() / 1000);
}

export function sealCode(settings: Settings, grant: Grant, bound: Bound, exp: number) {
  return seal(settings, "code", { ...grant, ...bound, generation: 0 }, exp);
}

export function sealRefresh(settings: Settings, grant: Grant & { generation: number }, exp: number) {
  return seal(settings, "refresh", { ...grant }, exp);
}

async function seal(settings: Settings, kind: Kind, claims: Record<string, string | number>, exp: number) {
  const [secret] = settings.secrets;
  if (!secret) throw new Error("there is no secret to seal with");
  return new EncryptJWT(claims)
    .setProtectedHeader({ alg: "dir", enc: "A256GCM", kid: keyId(secret) })
    .setJti(randomId())
    .setIssuedAt(now())
    .setExpirationTime(exp)
    .setIssuer(settings.origin)
    .setAudience(settings.clerk)
    .encrypt(key(secret, kind));
}

export async function openCode(settings: Settings, value: string): Promise<SealedCode> {
  const claims = await open(settings, "code", value);
  const { challenge, port, machine = "" } = claims;
  if (typeof challenge !== "string" || !/^[A-Za-z0-9_-]{43}$/.test(challenge)) throw new Unsealable();
  if (!isInteger(port) || typeof machine !== "string") throw new Unsealable();
  return { ...grantOf(claims), challenge, port, machine };
}

export async function openRefresh(settings: Settings, value: string): Promise<Sealed> {
  return grantOf(await open(settings, "refresh", value));
}

async function open(settings: Settings, kind: Kind, value: string): Promise<Record<string, unknown>> {
  if (value.length > MAX_SEALED || !FORM.test(value)) throw new Unsealable();
  try {
    const { kid } = decodeProtectedHeader(value);
    const secret = settings.secrets.find((item) => keyId(item) === kid);
    if (!secret) throw new Unsealable();
    const { payload } = await jwtDecrypt(value, key(secret, kind), {
      issuer: settings.origin,
      audience: settings.clerk,
      keyManagementAlgorithms: ["dir"],
      contentEncryptionAlgorithms: ["A256GCM"],
      requiredClaims: ["jti", "iat", "exp"],
    });
    return payload;
  } catch {
    throw new Unsealable();
  }
}

// Only this app can have sealed what opens; the types are checked all the same, because a later release may seal
// others.
function grantOf(claims: Record<string, unknown>): Sealed {
  const { jti, family, generation, iat, exp, aud, sid, sub, org } = claims;
  if (!isId(jti) || !isId(family) || !isId(sid) || !isId(sub) || !(org === "" || isId(org))) throw new Unsealable();
  if (typeof aud !== "string" || !isInteger(exp) || !isInteger(iat)) throw new Unsealable();
  if (iat > now() + CLOCK_SKEW || !isInteger(generation) || generation < 0) throw new Unsealable();
  return { jti, family, generation, sid, sub, org, exp };
}

function isId(value: unknown): value is string {
  return typeof value === "string" && ID.test(value);
}

function isInteger(value: unknown): value is number {
  return Number.isInteger(value);
}

function key(secret: string, kind: Kind): Uint8Array {
  return derive(secret, `clerk-credential-helper/${kind}/1`);
}

// Names a secret in a header without telling anything about it.
function keyId(secret: string): string {
  return createHash("sha256").update(derive(secret, "clerk-credential-helper/kid/1")).digest("base64url").slice(0, 11);
}

function derive(secret: string, info: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", secret, "", info, 32));
}
