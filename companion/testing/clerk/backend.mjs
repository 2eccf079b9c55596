// Clerk's Backend API, as far as the companion page and docs/backend use it. Every request carries the secret key.
import { Refusal } from "./web.mjs";

/** @import { Asked, Request, Route } from "./web.mjs" */
/** @import { Opaque, Organization, Session, User, World } from "./world.mjs" */

const id = "([A-Za-z0-9_-]{1,128})";
const longest = 315_360_000; // the most that Clerk allows a token, ten years

/**
 * A user as the Backend API shows one.
 * @param {User} user
 */
export function userJson(user) {
  const emailId = `idn_2${user.id.slice(6)}`;
  return {
    object: "user",
    id: user.id,
    username: null,
    first_name: user.firstName,
    last_name: user.lastName,
    locale: null,
    image_url: "",
    has_image: false,
    primary_email_address_id: emailId,
    primary_phone_number_id: null,
    primary_web3_wallet_id: null,
    password_enabled: true,
    two_factor_enabled: false,
    totp_enabled: false,
    backup_code_enabled: false,
    email_addresses: [
      {
        id: emailId,
        object: "email_address",
        email_address: user.email,
        reserved: false,
        verification: { status: "verified", strategy: "email_code", attempts: null, expire_at: null },
        linked_to: [],
        created_at: user.createdAt,
        updated_at: user.createdAt,
      },
    ],
    phone_numbers: [],
    web3_wallets: [],
    passkeys: [],
    external_accounts: [],
    saml_accounts: [],
    enterprise_accounts: [],
    public_metadata: {},
    private_metadata: {},
    unsafe_metadata: {},
    external_id: null,
    last_sign_in_at: user.createdAt,
    banned: false,
    locked: false,
    create_organization_enabled: false,
    create_organizations_limit: null,
    delete_self_enabled: false,
    legal_accepted_at: null,
    last_active_at: user.createdAt,
    created_at: user.createdAt,
    updated_at: user.createdAt,
  };
}

/**
 * An organisation.
 * @param {Organization} organization
 */
export function organizationJson(organization) {
  return {
    object: "organization",
    id: organization.id,
    name: organization.name,
    slug: organization.slug,
    image_url: "",
    has_image: false,
    members_count: 1,
    pending_invitations_count: 0,
    max_allowed_memberships: 5,
    admin_delete_enabled: false,
    public_metadata: {},
    private_metadata: {},
    created_at: organization.createdAt,
    updated_at: organization.createdAt,
  };
}

/**
 * The organisations that a user belongs to, by name.
 * @param {World} world
 * @param {User} user
 */
export function membershipsJson(world, user) {
  return Object.entries(user.roles)
    .map(([organizationId, role]) => {
      const organization = world.organization(organizationId);
      return {
        object: "organization_membership",
        id: `orgmem_2${organization.slug}${user.id.slice(6)}`,
        role,
        role_name: role === "org:admin" ? "Admin" : "Member",
        permissions: role === "org:admin" ? ["org:sys_profile:manage"] : [],
        public_metadata: {},
        private_metadata: {},
        organization: organizationJson(organization),
        public_user_data: {
          user_id: user.id,
          identifier: user.email,
          first_name: user.firstName,
          last_name: user.lastName,
          image_url: "",
          has_image: false,
        },
        created_at: user.createdAt,
        updated_at: user.createdAt,
      };
    })
    .sort((a, b) => a.organization.name.localeCompare(b.organization.name));
}

/** @param {Session} session */
function sessionJson(session) {
  return {
    object: "session",
    id: session.id,
    client_id: session.clientId,
    user_id: session.userId,
    status: session.status,
    last_active_organization_id: session.organizationId,
    actor: null,
    last_active_at: session.lastActiveAt,
    expire_at: session.expireAt,
    abandon_at: session.expireAt,
    created_at: session.createdAt,
    updated_at: session.lastActiveAt,
  };
}

/**
 * @param {string} token
 * @param {Opaque} one
 */
function opaqueJson(token, one) {
  return {
    object: { m2m: "machine_to_machine_token", api_key: "api_key", oauth: "clerk_idp_oauth_access_token" }[one.kind],
    id: one.id,
    type: one.kind === "oauth" ? "oauth_token" : one.kind,
    name: one.kind === "api_key" ? "test" : undefined,
    client_id: one.kind === "oauth" ? "clerk-credential-helper-test" : undefined,
    subject: one.subject,
    scopes: one.scopes,
    claims: one.claims,
    revoked: one.revoked,
    revocation_reason: one.revoked ? "revoked for a test" : null,
    expired: one.expiration <= Date.now(),
    expiration: one.expiration,
    created_by: null,
    description: null,
    last_used_at: null,
    created_at: one.createdAt,
    updated_at: one.createdAt,
    ...(one.kind === "m2m" ? { token } : {}),
  };
}

/**
 * @param {URL} url
 * @param {object[]} all
 */
function page(url, all) {
  const limit = Number(url.searchParams.get("limit") ?? 10);
  const offset = Number(url.searchParams.get("offset") ?? 0);
  return { data: all.slice(offset, offset + limit), total_count: all.length };
}

/**
 * The routes, for serve() of web.mjs.
 * @param {World} world
 * @returns {Route[]}
 */
export function backendRoutes(world) {
  const token = (/** @type {Asked} */ { match, body }) => {
    const session = world.session(match[1]);
    const seconds = body.expires_in_seconds;
    if (seconds !== undefined && !(Number.isInteger(seconds) && seconds >= 30 && seconds <= longest)) {
      throw new Refusal(422, "form_param_value_invalid", "30 to 315360000", "expires_in_seconds");
    }
    if (session.status !== "active") throw new Refusal(404, "resource_not_found", "no active session of this id");
    const template = match[2];
    const jwt = template
      ? world.templateToken(session, template, { seconds })
      : world.sessionToken(session, { seconds });
    return { json: { object: "token", jwt } };
  };
  const judge = (/** @type {Opaque["kind"]} */ kind, /** @type {string} */ parameter) => ({
    answer: (/** @type {Asked} */ { body }) => {
      const secret = body[parameter];
      const one = typeof secret === "string" ? world.opaque.get(secret) : undefined;
      if (one === undefined || one.kind !== kind) throw new Refusal(404, "resource_not_found", "no such token");
      return { json: opaqueJson(secret, one) };
    },
  });

  return [
    ["GET", /^\/v1\/jwks$/, () => ({ json: world.jwks })],
    [
      "GET",
      /^\/v1\/clients\/handshake_payload$/,
      ({ url }) => {
        const nonce = url.searchParams.get("nonce") ?? "";
        const directives = world.handshakes.get(nonce);
        if (!directives) throw new Refusal(404, "resource_not_found", "no such nonce");
        world.handshakes.delete(nonce);
        return { json: { directives } };
      },
    ],
    ["GET", new RegExp(`^/v1/sessions/${id}$`), ({ match }) => ({ json: sessionJson(world.session(match[1])) })],
    ["POST", new RegExp(`^/v1/sessions/${id}/tokens$`), token],
    ["POST", new RegExp(`^/v1/sessions/${id}/tokens/${id}$`), token],
    [
      "POST",
      new RegExp(`^/v1/sessions/${id}/revoke$`),
      ({ match }) => {
        const session = world.session(match[1]);
        session.status = "revoked";
        return { json: sessionJson(session) };
      },
    ],
    ["GET", new RegExp(`^/v1/users/${id}$`), ({ match }) => ({ json: userJson(world.user(match[1])) })],
    [
      "GET",
      new RegExp(`^/v1/users/${id}/organization_memberships$`),
      ({ match, url }) => ({ json: page(url, membershipsJson(world, world.user(match[1]))) }),
    ],
    [
      "GET",
      new RegExp(`^/v1/organizations/${id}$`),
      ({ match }) => ({ json: organizationJson(world.organization(match[1])) }),
    ],
    [
      "POST",
      mintMachineToken,
      ({ request, body }) => {
        const machine = machineOf(world, request);
        const { token_format: format = "opaque", seconds_until_expiration: seconds = 3600, claims = null } = body;
        if (format !== "opaque" && format !== "jwt")
          throw new Refusal(400, "form_param_value_invalid", "opaque or jwt", "token_format");
        if (!(Number.isInteger(seconds) && seconds >= 1 && seconds <= longest))
          throw new Refusal(400, "form_param_value_invalid", "1 to 315360000", "seconds_until_expiration");
        if (claims !== null && (typeof claims !== "object" || Array.isArray(claims)))
          throw new Refusal(400, "form_param_value_invalid", "an object or null", "claims");
        const opaque = world.opaqueToken("m2m", { subject: machine, seconds, scopes: [machine], claims });
        const one = opaqueJson(opaque, world.opaqueOf(opaque));
        if (format === "opaque") return { status: 201, json: one };
        world.opaque.delete(opaque); // a JWT is kept nowhere
        return { status: 201, json: { ...one, token: world.m2mToken({ seconds, machine, claims: claims ?? {} }) } };
      },
    ],
    // Clerk's own server code asks these three without a version, its documentation with one.
    ["POST", /^(?:\/v1)?\/m2m_tokens\/verify$/, judge("m2m", "token").answer],
    ["POST", /^(?:\/v1)?\/api_keys\/verify$/, judge("api_key", "secret").answer],
    ["POST", /^(?:\/v1)?\/oauth_applications\/access_tokens\/verify$/, judge("oauth", "access_token").answer],
  ];
}

const mintMachineToken = /^(?:\/v1)?\/m2m_tokens$/;

/**
 * @param {World} world
 * @param {Request} request
 */
function machineOf(world, request) {
  const machine = world.machines.get(/^Bearer (ak_[0-9a-f]+)$/.exec(request.headers.authorization ?? "")?.[1] ?? "");
  if (!machine) throw new Refusal(401, "machine_secret_key_invalid", "the machine's secret key is missing or wrong");
  return machine;
}

/**
 * Refuses callers without the secret key; a machine has a key of its own, for one thing only.
 * @param {World} world
 */
export function backendGuard(world) {
  return (/** @type {Pick<Asked, "request" | "url">} */ { request, url }) => {
    if (mintMachineToken.test(url.pathname)) {
      machineOf(world, request);
      return;
    }
    if (request.headers.authorization !== `Bearer ${world.secretKey}`) {
      throw new Refusal(401, "authentication_invalid", "the secret key is missing or wrong");
    }
  };
}
