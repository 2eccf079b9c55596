// The form of the policy in ci.ts, its validation, and whether a job's claims fit an entry. No part of it asks a network.

import { isLoopback } from "./address";

/** What ci.ts exports: an empty one grants nothing. */
export type Policy = Entry[];

/** What a claim has to be: exactly this value, or text that a pattern matches from end to end. */
export type Wanted = string | number | boolean | { pattern: string };

/** Which jobs get a token, and whose. */
export type Entry = {
  /** A name of its own: lower-case letters, digits and hyphens. It stands in the log, and in the token (ci.entry). */
  name: string;
  /** The CI's issuer, exactly as it stands in the job's token (iss). */
  issuer: string;
  /** What the job's token has to say; all of it. */
  claims: Record<string, Wanted>;
  /** The NAME of the environment variable that holds the secret key of the Clerk machine whose token the job gets. */
  machine: string;
  /** How long that token lives, in seconds: 60 to 3600. */
  seconds: number;
  /** An organisation that the token names as org_id, for servers that look at one. Default: none. */
  organization?: string;
  /** "jwt" (the default) is verified without asking Clerk; "opaque" can be revoked. */
  format?: "jwt" | "opaque";
  /** false for a CI that makes one token for a whole job: it may then be exchanged again until it expires. */
  once?: boolean;
  /** Origins besides the issuer's own that may serve its keys. */
  keyOrigins?: string[];
  /** The aud that the job's token has instead of CLI_AUTH_ORIGIN, for a CI that cannot be told one. */
  audience?: string;
};

const PROPERTIES = [
  "name",
  "issuer",
  "claims",
  "machine",
  "seconds",
  "organization",
  "format",
  "once",
  "keyOrigins",
  "audience",
];

/** Claims that are checked for every token, and are no part of an entry. */
const OWN_RULES = ["iss", "aud", "exp", "nbf", "iat", "jti"];

/** Claims that name whose job it is. An entry must have all of one line. */
const IDENTITIES = [
  ["sub"],
  ["repository"], // GitHub
  ["repository_id"],
  ["project_path"], // GitLab
  ["project_id"],
  ["oidc.circleci.com/project-id"],
  ["repositoryUuid"], // Bitbucket
  ["rpo_id"], // Azure
  ["pipeline_id"], // Buildkite
  ["organization_slug", "pipeline_slug"],
];

/** Claims that say for which branch, tag or environment a job runs. */
const PLACES = [
  "sub",
  "ref",
  "ref_path",
  "environment",
  "job_workflow_ref",
  "workflow_ref",
  "oidc.circleci.com/vcs-ref",
  "deploymentEnvironmentUuid",
  "rpo_ref",
  "build_branch",
  "build_tag",
];

/** Claims whose value is chosen by the author of a pull request, or by anyone who may start a job. */
const CHOSEN = ["head_ref", "actor", "actor_id", "user_login", "user_id", "user_email", "build_creator_email"];

/** Claims that tell the job of a pull request, and their values that do. */
const PULL_REQUESTS: Record<string, RegExp> = {
  event_name: /^pull_request/, // GitHub; pull_request_target has the ref of the repository's own branch
  pipeline_source: /^(?:merge_request|external_pull_request)_event$/, // GitLab
};

const MAX_ENTRIES = 100;
const MAX_TEXT = 1024;

/** What is wrong with a policy, so that the app must not run with it, and what is only dangerous. */
export type Verdict = { problems: string[]; warnings: string[] };

/** Where a policy is to be used. */
export type Place = {
  env: Record<string, string | undefined>;
  /** The app's own origin. If it is http on this machine, so may be an issuer. */
  origin: string;
  /** The Clerk issuer. */
  clerk: string;
};

/** Validates a policy. Names of entries and claims are repeated, values never: one might be a key in the wrong place. */
export function checkPolicy(policy: unknown, place: Place): Verdict {
  if (!Array.isArray(policy)) return { problems: ["policy must be a list of entries"], warnings: [] };
  const verdict: Verdict = { problems: [], warnings: [] };
  if (policy.length > MAX_ENTRIES) verdict.problems.push(`policy has more than ${MAX_ENTRIES} entries`);
  const names = new Set<unknown>();
  const conditions = new Set<string>();
  for (const [at, entry] of policy.slice(0, MAX_ENTRIES).entries()) {
    const check = new Check(entry, at + 1, place, verdict);
    check.all();
    if (!isObject(entry)) continue;
    if (names.has(entry.name)) check.problem("another entry has the same name");
    names.add(entry.name);
    const condition = JSON.stringify([entry.issuer, entry.audience, sorted(entry.claims)]);
    if (conditions.has(condition)) check.problem("another entry has the same issuer and claims");
    conditions.add(condition);
  }
  return verdict;
}

/** The validation of one entry. */
class Check {
  private readonly label: string;

  constructor(
    private readonly entry: unknown,
    number: number,
    private readonly place: Place,
    private readonly verdict: Verdict,
  ) {
    const name = isObject(entry) && isName(entry.name) ? ` (${entry.name})` : "";
    this.label = `entry ${number}${name}`;
  }

  problem(what: string) {
    this.verdict.problems.push(`${this.label}: ${what}`);
  }

  private warn(what: string) {
    this.verdict.warnings.push(`${this.label}: ${what}`);
  }

  all() {
    const { entry } = this;
    if (!isObject(entry)) return this.problem("it must be an object");
    for (const name of Object.keys(entry)) {
      if (!PROPERTIES.includes(name)) this.problem(`unknown property ${shown(name)}`);
    }
    if (!isName(entry.name)) this.problem("name must be 1 to 64 lower-case letters, digits and hyphens");
    this.issuer(entry.issuer);
    this.machine(entry.machine);
    if (!isIntegerFrom(entry.seconds, 60, 3600)) this.problem("seconds must be a whole number from 60 to 3600");
    const { organization, format, once, keyOrigins, audience } = entry;
    if (
      organization !== undefined &&
      !(typeof organization === "string" && /^org_[A-Za-z0-9]{1,64}$/.test(organization))
    )
      this.problem("organization must be the id of an organisation: org_...");
    if (format !== undefined && format !== "jwt" && format !== "opaque")
      this.problem('format must be "jwt" or "opaque"');
    if (once !== undefined && typeof once !== "boolean") this.problem("once must be true or false");
    if (keyOrigins !== undefined && !(Array.isArray(keyOrigins) && keyOrigins.every((one) => this.isOrigin(one))))
      this.problem("keyOrigins must be a list of https origins, each with nothing after it");
    if (audience !== undefined) {
      if (!isText(audience)) this.problem("audience must be text");
      else this.warn("audience is not CLI_AUTH_ORIGIN: another service that gets such a token can use it here");
    }
    this.claims(entry.claims);
  }

  private issuer(issuer: unknown) {
    const url = typeof issuer === "string" && URL.canParse(issuer) ? new URL(issuer) : undefined;
    if (!url) return this.problem("issuer must be an https address");
    if (url.protocol !== "https:" && !(isLoopback(url) && this.place.origin.startsWith("http://")))
      this.problem("issuer must be https");
    if (url.search || url.hash || /[?#]/.test(url.href)) this.problem("issuer must have no query and no fragment");
    else if (url.username || url.password) this.problem("issuer must have no user name and no password");
    else if (url.href !== issuer && url.href !== `${issuer}/`)
      this.problem("issuer must be written as a browser would write it: a host in lower case, no default port");
    if (issuer === this.place.origin || issuer === this.place.clerk)
      this.problem("issuer must be a CI's, not this app or its Clerk instance: they issue tokens to people");
  }

  private isOrigin(value: unknown): boolean {
    const url = typeof value === "string" && URL.canParse(value) ? new URL(value) : undefined;
    if (!url || url.origin !== value) return false;
    return url.protocol === "https:" || (isLoopback(url) && this.place.origin.startsWith("http://"));
  }

  private machine(machine: unknown) {
    if (typeof machine !== "string" || !/^[A-Z][A-Z0-9_]{0,99}$/.test(machine))
      return this.problem("machine must be the NAME of an environment variable, in capitals, and never a key itself");
    if (machine.startsWith("NEXT_PUBLIC_"))
      return this.problem("machine names a variable that Next.js would send to every browser");
    const key = this.place.env[machine];
    if (!key) return this.problem(`the environment variable ${machine} is not set`);
    if (!/^(?!sk_|pk_)[!-~]{16,512}$/.test(key))
      this.problem(`the environment variable ${machine} does not hold a machine's secret key`);
  }

  private claims(claims: unknown) {
    if (!isObject(claims)) return this.problem("claims must be an object");
    for (const [name, wanted] of Object.entries(claims)) this.claim(name, wanted);
    const named = (name: string) => Object.hasOwn(claims, name);
    if (!IDENTITIES.some((line) => line.every(named)))
      return this.problem("no claim says whose job it is: name the repository, the project or the subject (sub)");

    for (const name of CHOSEN) {
      if (named(name)) this.warn(`the claim ${name} is chosen by who opens a pull request or starts the job`);
    }
    for (const [name, tells] of Object.entries(PULL_REQUESTS)) {
      const wanted = claims[name];
      if (typeof wanted === "string" ? tells.test(wanted) : wanted !== undefined)
        this.warn(`the claim ${name} lets in pull requests, whose code may be a stranger's`);
    }
    if (!PLACES.some(named) || isOpenSubject(claims.sub))
      this.warn("no claim names a branch, a tag or an environment: every job of the repository gets the token");
    if ((named("project_path") || named("project_id")) && named("ref") && !named("ref_type"))
      this.warn("the claim ref without ref_type also takes a tag of that name");
  }

  private claim(name: string, wanted: unknown) {
    const what = `the claim ${shown(name)}`;
    if (name === "" || name.length > 128) return this.problem("a claim's name must have 1 to 128 characters");
    if (OWN_RULES.includes(name)) return this.problem(`${what} is checked for every token: leave it out`);
    if (typeof wanted === "boolean" || (typeof wanted === "number" && Number.isFinite(wanted)) || isText(wanted))
      return;
    if (!isObject(wanted) || Object.keys(wanted).join() !== "pattern" || !isText(wanted.pattern))
      return this.problem(`${what} must be text, a number, true, false or { pattern: "..." }`);
    const { pattern } = wanted;
    const stars = pattern.split("*").length - 1;
    if (stars === 0)
      return this.problem(`${what}: a pattern without * is plain text, which is written without pattern`);
    if (pattern.includes("**") || stars > 2) return this.problem(`${what}: a pattern has one or two *, apart`);
    if (!/[\p{L}\p{N}]/u.test(pattern)) return this.problem(`${what}: the pattern matches everything`);
    if (!IDENTITIES.flat().includes(name)) return;
    // "*/shop" and "acme-*" are also true of a stranger's repository: whose it is has to be written out.
    const parts = pattern.slice(0, pattern.indexOf("*")).split(/[/:]/).slice(0, -1).filter(Boolean);
    const owner = name === "sub" ? 2 : 1;
    if (parts.length < owner)
      this.problem(`${what}: the pattern has a * where the owner is named, so that it matches strangers as well`);
  }
}

// In these forms of a subject the branch stands last.
function isOpenSubject(wanted: unknown): boolean {
  const pattern = isObject(wanted) ? wanted.pattern : undefined;
  return typeof pattern === "string" && /^(?:repo|project_path|organization):.*\*$/.test(pattern);
}

/** The name of the first claim that keeps a token from an entry; undefined if the token fits. */
export function mismatch(entry: Entry, payload: Record<string, unknown>): string | undefined {
  for (const [name, wanted] of Object.entries(entry.claims)) {
    const value = Object.hasOwn(payload, name) ? payload[name] : undefined;
    if (!fits(wanted, value)) return name;
  }
  for (const [name, tells] of Object.entries(PULL_REQUESTS)) {
    if (Object.hasOwn(entry.claims, name) || !Object.hasOwn(payload, name)) continue;
    const value = payload[name];
    if (typeof value !== "string" || tells.test(value)) return name;
  }
  return undefined;
}

// Never equal are values of different types: "true" is not true, and a list is not what it holds.
function fits(wanted: Wanted, value: unknown): boolean {
  if (typeof wanted !== "object") return value === wanted;
  return typeof value === "string" && value.length <= MAX_TEXT && expression(wanted.pattern).test(value);
}

// A * matches visible ASCII without / and :, so that it never reaches into the next part of a path or a subject, and no
// line feed or look-alike letter passes. With two of them at most, no value makes the search long.
function expression(pattern: string): RegExp {
  const parts = pattern.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&"));
  return new RegExp(`^${parts.join("[!-.0-9;-~]+")}$`);
}

function sorted(claims: unknown): unknown {
  return isObject(claims) ? Object.entries(claims).sort(([a], [b]) => (a < b ? -1 : 1)) : claims;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isName(value: unknown): value is string {
  return typeof value === "string" && /^[a-z0-9][a-z0-9-]{0,63}$/.test(value);
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= MAX_TEXT;
}

function isIntegerFrom(value: unknown, least: number, most: number): boolean {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
}

// A name from the file, short enough for a line of the log.
function shown(name: string): string {
  return JSON.stringify(name.slice(0, 64));
}
