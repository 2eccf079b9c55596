// What the stand-in knows: people, organisations, browsers, sessions, and the key that signs for them. It speaks no
// HTTP; backend.mjs, frontend.mjs and control.mjs do.
import { createHash, generateKeyPairSync, randomBytes, randomUUID, sign } from "node:crypto";
import { Refusal } from "./web.mjs";

/** @typedef {{ id: string, name: string, slug: string, createdAt: number }} Organization */
/**
 * @typedef {object} User
 * @property {string} id
 * @property {string} email
 * @property {string} password
 * @property {string} firstName
 * @property {string} lastName
 * @property {Record<string, string>} roles by the id of the organisation
 * @property {number} createdAt times are in milliseconds
 */
/**
 * @typedef {object} Session
 * @property {string} id
 * @property {string} clientId
 * @property {string} userId
 * @property {string} status
 * @property {string | null} organizationId the active organisation; null is the personal account
 * @property {number} createdAt
 * @property {number} lastActiveAt
 * @property {number} expireAt
 */
/** @typedef {{ object: string, strategy: string, status: string, attempts: number, expire_at: number }} Verification */
/**
 * @typedef {object} SignIn one that has begun
 * @property {string} id
 * @property {string} status
 * @property {string | null} identifier
 * @property {string | null} userId
 * @property {string | null} sessionId
 * @property {Verification | null} verification
 */
/**
 * @typedef {object} Browser
 * @property {string} token
 * @property {string} clientId
 * @property {string[]} sessions
 * @property {string | null} lastActiveSession
 * @property {SignIn | null} signIn
 * @property {number} changedAt in seconds
 * @property {number} createdAt
 */
/**
 * @typedef {object} Opaque what is kept of an opaque token
 * @property {"m2m" | "api_key" | "oauth"} kind
 * @property {string} id
 * @property {string} subject
 * @property {string[]} scopes
 * @property {object | null} claims
 * @property {boolean} revoked
 * @property {number} expiration
 * @property {number} createdAt
 */
/**
 * @typedef {{ seconds?: number, claims?: object }} Life how long a token lives, and claims in place of the usual ones
 */

/** The category of a JWT in its header: Clerk's backends take only the first for a session. */
export const category = {
  session: "cl_B7d4PD111AAA",
  template: "cl_B7d4PD222AAA",
  m2m: "cl_B7d4PD333AAA",
};

/** The code of every e-mail, as for Clerk's own test addresses. */
export const emailCode = "424242";

const day = 24 * 60 * 60;
const sessionLife = 7 * day; // Clerk's default

const organizations = [
  { id: "org_2acme0000000000000000000000", name: "Acme", slug: "acme" },
  { id: "org_2lab00000000000000000000000", name: "Lab", slug: "lab" },
];

/** @type {Omit<User, "createdAt">[]} */
const people = [
  {
    id: "user_2ada00000000000000000000000",
    email: "ada@acme.dev",
    password: "correct horse",
    firstName: "Ada",
    lastName: "Byron",
    roles: { [organizations[0].id]: "org:admin", [organizations[1].id]: "org:member" },
  },
  {
    id: "user_2bob00000000000000000000000",
    email: "bob@acme.dev",
    password: "staple battery",
    firstName: "Bob",
    lastName: "Stone",
    roles: {},
  },
];

/**
 * JWT templates of the instance: name to lifetime in seconds.
 * @type {Record<string, number>}
 */
const templates = { cli_session_token: 7 * day };

const base64url = (/** @type {string} */ value) => Buffer.from(value).toString("base64url");

/**
 * An id as Clerk makes them: a prefix and 27 letters or digits.
 * @param {string} prefix
 */
function newId(prefix) {
  return `${prefix}_2${randomBytes(20).toString("hex").slice(0, 26)}`;
}

export class World {
  /** @type {Map<string, User>} */
  users = new Map();
  /** @type {Map<string, Organization>} */
  organizations = new Map();
  /** @type {Map<string, Browser>} */
  browsers = new Map();
  /** @type {Map<string, Session>} */
  sessions = new Map();
  /** @type {Map<string, string[]>} */
  handshakes = new Map();
  /** @type {Map<string, Opaque>} */
  opaque = new Map();

  /** @param {string} host */
  constructor(host) {
    this.host = host;
    this.issuer = `https://${host}`;
    this.publishableKey = `pk_test_${Buffer.from(`${host}$`).toString("base64").replace(/=+$/, "")}`;
    // Some of Clerk's cookies exist a second time under a name that belongs to the instance.
    this.cookieSuffix = createHash("sha1").update(this.publishableKey).digest("base64url").slice(0, 8);
    // Two machines, by their secret keys.
    this.machines = new Map(
      ["mch_2ci0000000000000000000000000", "mch_2deploy0000000000000000000000"].map((id) => [
        `ak_${randomBytes(24).toString("hex")}`,
        id,
      ]),
    );
    this.secretKey = `sk_test_${randomBytes(24).toString("base64url").replace(/[-_]/g, "x")}`;
    const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
    this.key = pair.privateKey;
    // A new id with every key: a server that keeps keys by their id must not keep that of an earlier run.
    this.kid = newId("ins");
    this.jwks = {
      keys: [{ ...pair.publicKey.export({ format: "jwk" }), kid: this.kid, use: "sig", alg: "RS256" }],
    };
    this.reset();
  }

  /** All users signed out, nothing remembered. The key stays: servers may have cached it. */
  reset() {
    this.users = new Map(people.map((person) => [person.id, { ...person, createdAt: Date.now() }]));
    this.organizations = new Map(organizations.map((one) => [one.id, { ...one, createdAt: Date.now() }]));
    this.browsers.clear();
    this.sessions.clear();
    this.handshakes.clear();
    this.opaque.clear();
  }

  /** @param {string} idOrEmail */
  user(idOrEmail) {
    const found = this.users.get(idOrEmail) ?? [...this.users.values()].find((user) => user.email === idOrEmail);
    if (!found) throw new Refusal(404, "resource_not_found", "not found");
    return found;
  }

  /** @param {string} id */
  session(id) {
    const session = this.sessions.get(id);
    if (!session) throw new Refusal(404, "resource_not_found", "not found");
    return session;
  }

  /** @param {string} token */
  opaqueOf(token) {
    const one = this.opaque.get(token);
    if (!one) throw new Refusal(404, "resource_not_found", "no such token");
    return one;
  }

  /** @param {string} idOrSlug */
  organization(idOrSlug) {
    const found =
      this.organizations.get(idOrSlug) ?? [...this.organizations.values()].find((one) => one.slug === idOrSlug);
    if (!found) throw new Refusal(404, "resource_not_found", "not found");
    return found;
  }

  /** A browser that Clerk has not seen before; its token stands for Clerk's own cookie in a development instance. */
  newBrowser() {
    /** @type {Browser} */
    const browser = {
      token: newId("dvb"),
      clientId: newId("client"),
      sessions: [],
      lastActiveSession: null,
      signIn: null,
      changedAt: 0,
      createdAt: Date.now(),
    };
    this.browsers.set(browser.token, browser);
    return browser;
  }

  /** @param {Browser} browser */
  activeSessions(browser) {
    return browser.sessions.map((id) => this.session(id)).filter(({ status }) => status === "active");
  }

  /**
   * @param {Browser} browser
   * @param {User} user
   * @param {string | null} [organizationId]
   */
  startSession(browser, user, organizationId = null) {
    const now = Date.now();
    /** @type {Session} */
    const session = {
      id: newId("sess"),
      clientId: browser.clientId,
      userId: user.id,
      status: "active",
      organizationId: null,
      createdAt: now,
      lastActiveAt: now,
      expireAt: now + sessionLife * 1000,
    };
    if (organizationId) this.activate(session, organizationId);
    this.sessions.set(session.id, session);
    browser.sessions.push(session.id);
    browser.lastActiveSession = session.id;
    browser.changedAt = Math.floor(now / 1000);
    return session;
  }

  /**
   * @param {Browser} browser
   * @param {Session} session
   * @param {string} status
   */
  endSession(browser, session, status) {
    session.status = status;
    browser.sessions = browser.sessions.filter((id) => id !== session.id);
    if (browser.lastActiveSession === session.id) browser.lastActiveSession = browser.sessions.at(-1) ?? null;
    browser.changedAt = Math.floor(Date.now() / 1000);
  }

  /**
   * Makes an organisation the session's active one; empty stands for the personal account.
   * @param {Session} session
   * @param {string | null} organizationId
   */
  activate(session, organizationId) {
    if (!organizationId) {
      session.organizationId = null;
      return;
    }
    const organization = this.organization(organizationId);
    if (!this.user(session.userId).roles[organization.id]) {
      throw new Refusal(404, "organization_not_found_or_unauthorized", "no such organization for this user");
    }
    session.organizationId = organization.id;
  }

  /**
   * @param {object} header
   * @param {object} claims
   */
  sign(header, claims) {
    const input = `${base64url(JSON.stringify({ alg: "RS256", ...header }))}.${base64url(JSON.stringify(claims))}`;
    return `${input}.${sign("sha256", Buffer.from(input), this.key).toString("base64url")}`;
  }

  /**
   * A session token, version 2 of its claims. The organisation is the session's active one, unless said otherwise.
   * @param {Session} session
   * @param {Life & { origin?: string, organizationId?: string | null }} [how]
   */
  sessionToken(session, { seconds = 60, origin, organizationId = session.organizationId, claims = {} } = {}) {
    const now = Math.floor(Date.now() / 1000);
    const claimed = {
      ...(origin ? { azp: origin } : {}),
      exp: now + seconds,
      fea: "",
      fva: [Math.floor((Date.now() - session.createdAt) / 60_000), -1],
      iat: now,
      iss: this.issuer,
      jti: randomBytes(10).toString("hex"),
      nbf: now - 10,
      pla: "u:free_user",
      sid: session.id,
      sts: "active",
      sub: session.userId,
      v: 2,
    };
    const o = organizationId ? { o: this.membership(session.userId, organizationId) } : {};
    return this.sign({ cat: category.session, kid: this.kid, typ: "JWT" }, { ...claimed, ...o, ...claims });
  }

  /**
   * A user's place in an organisation, as the claim o tells it.
   * @param {string} userId
   * @param {string} organizationId
   */
  membership(userId, organizationId) {
    const { id, slug } = this.organization(organizationId);
    const role = this.user(userId).roles[id] ?? "org:member";
    return { id, rol: role.replace("org:", ""), slg: slug };
  }

  /**
   * A token from a JWT template: it names no session.
   * @param {Session} session
   * @param {string} name
   * @param {Life & { origin?: string }} [how]
   */
  templateToken(session, name, { seconds, origin, claims = {} } = {}) {
    if (!Object.hasOwn(templates, name)) throw new Refusal(404, "resource_not_found", "no such template");
    const now = Math.floor(Date.now() / 1000);
    return this.sign(
      { cat: category.template, kid: this.kid, typ: "JWT" },
      {
        ...(origin ? { azp: origin } : {}),
        exp: now + (seconds ?? templates[name]),
        iat: now,
        iss: this.issuer,
        jti: randomBytes(10).toString("hex"),
        nbf: now - 5,
        sub: session.userId,
        ...claims,
      },
    );
  }

  /**
   * A JWT access token of an OAuth application: no audience, no e-mail, as Clerk's are.
   * @param {User} user
   * @param {Life & { scope?: string }} [how]
   */
  oauthToken(user, { seconds = day, scope = "openid profile email offline_access", claims = {} } = {}) {
    const now = Math.floor(Date.now() / 1000);
    return this.sign(
      { kid: this.kid, typ: "at+jwt" },
      {
        client_id: "clerk-credential-helper-test",
        exp: now + seconds,
        iat: now,
        iss: this.issuer,
        jti: newId("oat"),
        nbf: now - 10,
        scope,
        sub: user.id,
        ...claims,
      },
    );
  }

  /**
   * A JWT of a machine.
   * @param {Life & { machine?: string }} [how]
   */
  m2mToken({ seconds = 3600, machine = "mch_2ci0000000000000000000000000", claims = {} } = {}) {
    const now = Math.floor(Date.now() / 1000);
    return this.sign(
      { cat: category.m2m, kid: this.kid, typ: "JWT" },
      { exp: now + seconds, iat: now, iss: this.issuer, jti: newId("mt"), nbf: now - 10, sub: machine, ...claims },
    );
  }

  /**
   * An opaque token, which only the Backend API can judge.
   * @param {Opaque["kind"]} kind
   * @param {{ subject: string, seconds?: number, scopes?: string[], claims?: object | null, revoked?: boolean }} how
   */
  opaqueToken(kind, { subject, seconds = day, scopes = [], claims = null, revoked = false }) {
    const prefix = { m2m: "mt", api_key: "ak", oauth: "oat" }[kind];
    if (!prefix) throw new Refusal(422, "form_param_invalid", "kind is m2m, api_key or oauth", "kind");
    const token = `${prefix}_${randomBytes(24).toString("hex")}`;
    const now = Date.now();
    this.opaque.set(token, {
      kind,
      id: newId(prefix),
      subject,
      scopes,
      claims,
      revoked,
      expiration: now + seconds * 1000,
      createdAt: now,
    });
    return token;
  }

  /**
   * Answers a handshake: the cookies to set, fetched once by the app's server. A browser sends no Origin with a
   * navigation, so the token in them names no page (azp).
   * @param {Browser} browser
   */
  handshake(browser) {
    const nonce = randomUUID();
    this.handshakes.set(
      nonce,
      Object.entries(this.cookies(browser)).map(([name, value]) =>
        value === "" ? `${name}=; Path=/; Max-Age=0; SameSite=Lax` : `${name}=${value}; Path=/; SameSite=Lax`,
      ),
    );
    return nonce;
  }

  /**
   * The cookies of the app's own origin that stand for a browser; an empty value means that there is none.
   * @param {Browser} browser
   * @param {{ origin?: string, seconds?: number }} [how]
   */
  cookies(browser, { origin, seconds } = {}) {
    const active = this.activeSessions(browser);
    const session = active.find(({ id }) => id === browser.lastActiveSession) ?? active.at(-1);
    const plain = {
      __clerk_db_jwt: browser.token,
      __client_uat: String(session ? browser.changedAt : 0),
      __session: session ? this.sessionToken(session, { origin, seconds }) : "",
    };
    /** @type {Record<string, string>} */
    const all = {};
    for (const [name, value] of Object.entries(plain)) {
      all[name] = value;
      all[`${name}_${this.cookieSuffix}`] = value;
    }
    return all;
  }
}
