// The settings, read from the environment at each request: an app that is built once runs with any of them.

import { isHttpsOrLoopback } from "./address";
import { policy } from "./ci";
import { checkPolicy, type Entry } from "./policy";
import { parseStore, type StoreSetting } from "./stores/setting";

/** What the operator set up. A wrong setting is a SettingsError that names the variable and never its value. */
export type Settings = {
  /** This app's own origin, as browsers and the helper see it. Never taken from a request. */
  origin: string;
  /** The Clerk issuer: the instance's Frontend API, or the proxy in front of it. */
  clerk: string;
  /** The secrets that seal codes and refresh tokens: the first seals, all of them open. */
  secrets: string[];
  /** How long a minted session token lives, in seconds. */
  tokenSeconds: number;
  /** The JWT template that tokens are minted from; empty for session tokens. */
  template: string;
  store: StoreSetting;
  /** How many codes and tokens a person, and an address, gets in an hour; 0 is no limit. */
  hourly: { person: number; address: number; proxies: number };
  backend: { url: string; secretKey: string };
  /** The file that the company publishes for its people. */
  company: object | undefined;
  /** The policy for CI jobs, with the secret keys of the machines that it names. */
  ci: Rule[];
  /** What the policy's validation warns of. */
  ciWarnings: string[];
};

/** An entry of the policy, with its machine's secret key. */
export type Rule = Entry & { secretKey: string };

export class SettingsError extends Error {}

export function readSettings(
  env: Record<string, string | undefined> = process.env,
  entries: unknown = policy,
): Settings {
  const origin = readOrigin(env.CLI_AUTH_ORIGIN);
  const clerk = clerkIssuer(origin);
  return {
    origin,
    clerk,
    secrets: readSecrets(env.CLI_AUTH_SECRET),
    tokenSeconds: readTokenSeconds(env.CLI_AUTH_TOKEN_SECONDS),
    template: readTemplate(env.CLI_AUTH_TEMPLATE),
    store: readStore(env),
    hourly: {
      person: readNumber(env, "CLI_AUTH_PERSON_PER_HOUR", 300, 1_000_000),
      address: readNumber(env, "CLI_AUTH_ADDRESS_PER_HOUR", 3000, 1_000_000),
      proxies: readNumber(env, "CLI_AUTH_PROXIES", 0, 9),
    },
    backend: {
      url: (env.CLERK_API_URL || "https://api.clerk.com").replace(/\/+$/, ""),
      secretKey: required("CLERK_SECRET_KEY", env.CLERK_SECRET_KEY),
    },
    company: readCompany(env.CLI_AUTH_COMPANY),
    ...readPolicy(entries, env, origin, clerk),
  };
}

function readPolicy(entries: unknown, env: Record<string, string | undefined>, origin: string, clerk: string) {
  const { problems, warnings } = checkPolicy(entries, { env, origin, clerk });
  if (problems.length > 0) throw new SettingsError(`lib/cli-auth/ci.ts: ${problems.join("; ")}`);
  const ci = (entries as Entry[]).map((entry): Rule => ({ ...entry, secretKey: env[entry.machine] as string }));
  return { ci, ciWarnings: warnings };
}

function required(name: string, value: string | undefined): string {
  if (!value) throw new SettingsError(`${name} is not set`);
  return value;
}

function readOrigin(value: string | undefined): string {
  const name = "CLI_AUTH_ORIGIN";
  const origin = required(name, value);
  const url = URL.canParse(origin) ? new URL(origin) : undefined;
  if (url?.origin !== origin)
    throw new SettingsError(`${name} must be an origin: https://app.example.com, with nothing after it`);
  if (!isHttpsOrLoopback(url)) throw new SettingsError(`${name} must be https, or http on this machine`);
  return origin;
}

function readSecrets(value: string | undefined): string[] {
  const secrets = required("CLI_AUTH_SECRET", value).split(",");
  if (secrets.some((secret) => secret.trim().length < 32)) {
    throw new SettingsError(
      `CLI_AUTH_SECRET must be secrets of at least 32 characters each, separated by commas; ${MAKE}`,
    );
  }
  if (secrets.some((secret) => isTyped(secret.trim()))) {
    throw new SettingsError(`CLI_AUTH_SECRET has a secret that repeats itself and can be guessed; ${MAKE}`);
  }
  return secrets.map((secret) => secret.trim());
}

const MAKE = "make one with: openssl rand -hex 32";

// An attacker who guesses a secret makes grants of their own, and can try guesses at home on one sealed value. This finds
// what was typed to fill the length: few different characters, one of them more often than all others, a piece over and
// over. Of 32 random hexadecimal digits not one in a million is refused. It cannot find a sentence out of a book.
function isTyped(secret: string): boolean {
  const counts = new Map<string, number>();
  for (const character of secret) counts.set(character, (counts.get(character) ?? 0) + 1);
  if (counts.size < 8 || Math.max(...counts.values()) * 2 > secret.length) return true;
  for (let piece = 1; piece * 2 <= secret.length; piece++) {
    if (secret.slice(piece) === secret.slice(0, -piece)) return true;
  }
  return false;
}

function readTokenSeconds(value: string | undefined): number {
  const text = value || "600";
  const seconds = Number(text);
  if (!/^[0-9]{2,4}$/.test(text) || seconds < 60 || seconds > 3600) {
    throw new SettingsError("CLI_AUTH_TOKEN_SECONDS must be a number from 60 to 3600");
  }
  return seconds;
}

function readNumber(env: Record<string, string | undefined>, name: string, normal: number, most: number): number {
  const text = env[name] || String(normal);
  const number = Number(text);
  if (!/^[0-9]{1,7}$/.test(text) || number > most)
    throw new SettingsError(`${name} must be a number from 0 to ${most}`);
  return number;
}

function readTemplate(value: string | undefined): string {
  const template = value || "";
  if (!/^[A-Za-z0-9_-]{0,64}$/.test(template)) throw new SettingsError("CLI_AUTH_TEMPLATE must be a template's name");
  return template;
}

function readStore(env: Record<string, string | undefined>): StoreSetting {
  const ca = env.CLI_AUTH_STORE_CA?.replaceAll("\\n", "\n") || undefined; // some hosts keep a value on one line
  const store = parseStore(env.CLI_AUTH_STORE ?? "", env.CLI_AUTH_STORE_TOKEN ?? "", ca);
  if (!store) {
    throw new SettingsError(
      "CLI_AUTH_STORE must be memory, or the address of a store: redis://, rediss://, postgres://, or https:// of a Redis " +
        "REST interface. Special characters of a password are percent-encoded; a postgres address names user and database, " +
        "and may have sslmode and channel_binding",
    );
  }
  if (store.kind === "rest") required("CLI_AUTH_STORE_TOKEN", store.token);
  if (
    ca !== undefined &&
    !/^\s*(?:-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)+$/.test(ca)
  )
    throw new SettingsError("CLI_AUTH_STORE_CA must be certificates in PEM form");
  if (ca !== undefined && !("server" in store && store.server.tls))
    throw new SettingsError("CLI_AUTH_STORE_CA is for rediss:// and for postgres:// with TLS");
  return store;
}

// The helper reads the file strictly; this finds what is no such file at all.
function readCompany(value: string | undefined): object | undefined {
  if (!value) return undefined;
  const file = parsed(value);
  if (value.length > 64 << 10 || file?.version !== 1 || typeof file.profiles !== "object") {
    throw new SettingsError("CLI_AUTH_COMPANY must be what clerk-credential-helper setup --print-company-file prints");
  }
  return file;
}

function parsed(text: string): { version?: unknown; profiles?: unknown } | undefined {
  try {
    return JSON.parse(text) ?? undefined;
  } catch {
    return undefined;
  }
}

// The two names below are written out because Next puts their values in at build time, for the browser and the server
// alike: the issuer is the one that the pages talk to.
function clerkIssuer(origin: string): string {
  const proxy = process.env.NEXT_PUBLIC_CLERK_PROXY_URL;
  if (proxy) {
    if (!URL.canParse(proxy, origin))
      throw new SettingsError("NEXT_PUBLIC_CLERK_PROXY_URL must be an address or a path");
    return new URL(proxy, origin).href.replace(/\/+$/, "");
  }
  return issuerOfKey(required("NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY", process.env.NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY));
}

/** A publishable key is pk_test_ or pk_live_ and the base64 of the Frontend API's host with a dollar sign after it. */
export function issuerOfKey(key: string): string {
  const encoded = /^pk_(?:test|live)_([A-Za-z0-9+/_-]+)=*$/.exec(key)?.[1] ?? "";
  const host = /^([a-z0-9.-]+\.[a-z0-9.-]+(?::[0-9]{1,5})?)\$$/.exec(Buffer.from(encoded, "base64").toString())?.[1];
  if (!host) throw new SettingsError("NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY is not a publishable key");
  return `https://${host}`;
}
