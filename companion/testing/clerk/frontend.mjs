// Clerk's Frontend API, as far as the real clerk-js needs it: signing in with a password or an e-mail code, signing
// out, organisations, tokens and the handshake of a development instance. A browser is told apart by the token that a
// development instance keeps in the app's own cookie and sends in the query (__clerk_db_jwt).
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { membershipsJson, organizationJson, userJson } from "./backend.mjs";
import { environment } from "./environment.mjs";
import { Refusal } from "./web.mjs";
import { emailCode } from "./world.mjs";

/** @import { Answer, Asked, Body, Request, Route } from "./web.mjs" */
/** @import { Browser, Session, SignIn, User, World } from "./world.mjs" */

const id = "([A-Za-z0-9_-]{1,128})";

const logo = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 28 28" width="28" height="28">
<rect width="28" height="28" rx="7" fill="#6c47ff"/><path d="M7 21 14 7l7 14z" fill="#fff"/></svg>`;

/**
 * Where an app under test may live; everything else is no origin of this instance.
 * @param {string} origin
 */
function isLocal(origin) {
  try {
    const url = new URL(origin);
    return url.protocol === "http:" && ["localhost", "127.0.0.1"].includes(url.hostname);
  } catch {
    return false;
  }
}

/**
 * CORS, for the apps of this machine only.
 * @param {Request} request
 * @returns {Record<string, string>}
 */
export function frontendHeaders(request) {
  const origin = request.headers.origin;
  if (!origin || !isLocal(origin)) return {};
  return {
    "access-control-allow-origin": origin,
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": "authorization, clerk-db-jwt",
    vary: "origin",
  };
}

/**
 * Answers preflights.
 * @param {Pick<Asked, "request">} asked
 */
export function frontendGuard({ request }) {
  if (request.method !== "OPTIONS") return undefined;
  return {
    status: 204,
    headers: {
      "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
      "access-control-allow-headers": request.headers["access-control-request-headers"] ?? "",
      "access-control-max-age": "600",
    },
  };
}

/**
 * The routes, for serve() of web.mjs.
 * @param {World} world
 * @param {string} [packages] the folder with the unpacked clerk-js and ui
 * @returns {Route[]}
 */
export function frontendRoutes(world, packages) {
  const instance = {
    ...environment,
    display_config: { ...environment.display_config, logo_image_url: `${world.issuer}/logo.svg` },
  };
  const browserOf = (/** @type {Asked} */ { url }) => {
    const browser = world.browsers.get(url.searchParams.get("__clerk_db_jwt") ?? "");
    if (!browser) throw new Refusal(401, "dev_browser_unauthenticated", "unknown browser");
    return browser;
  };
  const sessionOf = (/** @type {Browser} */ browser, /** @type {RegExpExecArray} */ match) => {
    const session = world.activeSessions(browser).find((one) => one.id === match[1]);
    if (!session) throw new Refusal(404, "resource_not_found", "no such session");
    return session;
  };
  // Requests about the person go by the session that the page has active.
  const personOf = (/** @type {Asked} */ context) => {
    const browser = browserOf(context);
    const wanted = context.url.searchParams.get("_clerk_session_id") ?? browser.lastActiveSession;
    const session = world.activeSessions(browser).find((one) => one.id === wanted);
    if (!session) throw new Refusal(401, "authentication_invalid", "not signed in");
    return world.user(session.userId);
  };
  /** @type {(session: Session, request: Request, options?: { organizationId?: string | null }) => object} */
  const token = (session, request, options = {}) => ({
    object: "token",
    jwt: world.sessionToken(session, { origin: request.headers.origin, ...options }),
  });
  const publicData = (/** @type {User} */ user) => ({
    user_id: user.id,
    identifier: user.email,
    first_name: user.firstName,
    last_name: user.lastName,
    image_url: "",
    has_image: false,
  });
  const person = (/** @type {User} */ user) => ({
    ...userJson(user),
    organization_memberships: membershipsJson(world, user),
  });
  const sessionJson = (/** @type {Session} */ session, /** @type {Request} */ request) => {
    const user = world.user(session.userId);
    return {
      object: "session",
      id: session.id,
      status: session.status,
      factor_verification_age: [Math.floor((Date.now() - session.createdAt) / 60_000), -1],
      expire_at: session.expireAt,
      abandon_at: session.expireAt,
      last_active_at: session.lastActiveAt,
      last_active_organization_id: session.organizationId,
      last_active_token: token(session, request),
      actor: null,
      tasks: null,
      user: person(user),
      public_user_data: publicData(user),
      created_at: session.createdAt,
      updated_at: session.lastActiveAt,
    };
  };
  const verification = (/** @type {string} */ strategy, /** @type {string} */ status) => ({
    object: "verification_password",
    strategy,
    status,
    attempts: 0,
    expire_at: Date.now() + 600_000,
  });
  const signInJson = (/** @type {SignIn | null} */ signIn) => {
    if (!signIn) return null;
    const user = signIn.userId ? world.user(signIn.userId) : null;
    const emailId = user ? userJson(user).primary_email_address_id : null;
    return {
      object: "sign_in",
      id: signIn.id,
      status: signIn.status,
      supported_identifiers: ["email_address"],
      identifier: signIn.identifier,
      supported_first_factors: user
        ? [
            { strategy: "password" },
            { strategy: "email_code", email_address_id: emailId, safe_identifier: user.email, primary: true },
          ]
        : [],
      supported_second_factors: [],
      first_factor_verification: signIn.verification,
      second_factor_verification: null,
      created_session_id: signIn.sessionId,
      user_data: user
        ? { first_name: user.firstName, last_name: user.lastName, image_url: "", has_image: false }
        : null,
      timezone: null,
    };
  };
  const clientJson = (/** @type {Browser} */ browser, /** @type {Request} */ request) => ({
    object: "client",
    id: browser.clientId,
    sessions: world.activeSessions(browser).map((session) => sessionJson(session, request)),
    sign_in: signInJson(browser.signIn),
    sign_up: null,
    last_active_session_id: browser.lastActiveSession,
    last_authentication_strategy: null,
    cookie_expires_at: null,
    captcha_bypass: true,
    created_at: browser.createdAt,
    updated_at: browser.changedAt * 1000,
  });
  /** @type {(response: object | null, browser: Browser, request: Request) => Answer} */
  const withClient = (response, browser, request) => ({
    json: { response, client: clientJson(browser, request) },
  });
  const list = (/** @type {URL} */ url, /** @type {object[]} */ all) => {
    const limit = Number(url.searchParams.get("limit") ?? 10);
    const offset = Number(url.searchParams.get("offset") ?? 0);
    return { json: { response: { data: all.slice(offset, offset + limit), total_count: all.length } } };
  };

  /** @type {(browser: Browser, signIn: SignIn, user: User, strategy: string) => void} */
  const complete = (browser, signIn, user, strategy) => {
    const session = world.startSession(browser, user);
    signIn.status = "complete";
    signIn.sessionId = session.id;
    signIn.verification = verification(strategy, "verified");
    browser.signIn = null;
  };
  /** @type {(browser: Browser, signIn: SignIn, body: Body) => void} */
  const attempt = (browser, signIn, { strategy, password, code }) => {
    const user = world.user(signIn.userId ?? "");
    if (strategy === "password") {
      if (password !== user.password) {
        throw new Refusal(
          422,
          "form_password_incorrect",
          "Password is incorrect. Try again, or use another method.",
          "password",
        );
      }
    } else if (strategy === "email_code") {
      if (signIn.verification?.strategy !== "email_code") {
        throw new Refusal(422, "verification_missing", "No code was asked for.", "code");
      }
      if (code !== emailCode) throw new Refusal(422, "form_code_incorrect", "Incorrect code", "code");
    } else {
      throw new Refusal(422, "strategy_for_user_invalid", "This way of signing in is not offered.", "strategy");
    }
    complete(browser, signIn, user, strategy);
  };
  const signInOf = (/** @type {Browser} */ browser, /** @type {RegExpExecArray} */ match) => {
    if (browser.signIn === null || browser.signIn.id !== match[1])
      throw new Refusal(404, "resource_not_found", "no such sign-in");
    return browser.signIn;
  };

  return [
    // The scripts, as from Clerk's own content network.
    [
      "GET",
      /^\/npm\/@clerk\/(clerk-js|ui)@[0-9.]+\/dist\/([A-Za-z0-9._-]+\.js)$/,
      async ({ match }) => {
        if (!packages) throw new Refusal(503, "no_packages", "started without --packages");
        const file = join(packages, match[1], "dist", match[2]);
        const raw = await readFile(file).catch(() => {
          throw new Refusal(404, "resource_not_found", "not found");
        });
        return {
          raw,
          headers: {
            "content-type": "text/javascript; charset=utf-8",
            "cache-control": "public, max-age=86400",
            "access-control-allow-origin": "*",
          },
        };
      },
    ],
    ["GET", /^\/\.well-known\/jwks\.json$/, () => ({ json: world.jwks })],
    [
      "GET",
      /^\/\.well-known\/(?:openid-configuration|oauth-authorization-server)$/,
      () => ({
        json: {
          issuer: world.issuer,
          authorization_endpoint: `${world.issuer}/oauth/authorize`,
          token_endpoint: `${world.issuer}/oauth/token`,
          revocation_endpoint: `${world.issuer}/oauth/token/revoke`,
          introspection_endpoint: `${world.issuer}/oauth/token_info`,
          userinfo_endpoint: `${world.issuer}/oauth/userinfo`,
          jwks_uri: `${world.issuer}/.well-known/jwks.json`,
          scopes_supported: ["openid", "profile", "email", "offline_access"],
          response_types_supported: ["code"],
          response_modes_supported: ["query", "form_post"],
          grant_types_supported: ["authorization_code", "refresh_token"],
          subject_types_supported: ["public"],
          id_token_signing_alg_values_supported: ["RS256"],
          token_endpoint_auth_methods_supported: ["client_secret_basic", "none"],
          claims_supported: ["aud", "iss", "exp", "iat", "sub", "email"],
          code_challenge_methods_supported: ["S256"],
        },
      }),
    ],

    ["GET", /^\/logo\.svg$/, () => ({ raw: logo, headers: { "content-type": "image/svg+xml" } })],
    ["GET", /^\/v1\/environment$/, () => ({ json: instance })],
    ["POST", /^\/v1\/environment$/, () => ({ json: instance })],
    ["PATCH", /^\/v1\/environment$/, () => ({ json: instance })],
    ["POST", /^\/v1\/dev_browser$/, () => ({ json: { object: "dev_browser", id: world.newBrowser().token } })],
    // Brings the app's cookies up to date: the page is sent here by the app's server and goes back with a nonce.
    [
      "GET",
      /^\/v1\/client\/handshake$/,
      ({ url }) => {
        const back = url.searchParams.get("redirect_url") ?? "";
        if (!isLocal(back)) throw new Refusal(422, "redirect_url_invalid", "not an app of this machine");
        const known = world.browsers.get(url.searchParams.get("__clerk_db_jwt") ?? "");
        const target = new URL(back);
        const nonce = world.handshake(known ?? world.newBrowser());
        target.searchParams.set("__clerk_handshake_nonce", nonce);
        return { status: 307, headers: { location: target.href } };
      },
    ],

    [
      "GET",
      /^\/v1\/client$/,
      (context) => ({ json: { response: clientJson(browserOf(context), context.request), client: null } }),
    ],
    [
      "PUT",
      /^\/v1\/client$/,
      (context) => ({ json: { response: clientJson(browserOf(context), context.request), client: null } }),
    ],
    [
      "DELETE",
      /^\/v1\/client\/sessions$/,
      (context) => {
        const browser = browserOf(context);
        for (const session of world.activeSessions(browser)) world.endSession(browser, session, "removed");
        return { json: { response: clientJson(browser, context.request), client: null } };
      },
    ],

    [
      "POST",
      /^\/v1\/client\/sign_ins$/,
      (context) => {
        const { body, request } = context;
        const browser = browserOf(context);
        if (world.activeSessions(browser).length > 0) {
          throw new Refusal(403, "session_exists", "You're already signed in.");
        }
        /** @type {SignIn} */
        const signIn = {
          id: `sia_2${browser.clientId.slice(8)}${Date.now()}`,
          status: "needs_identifier",
          identifier: null,
          userId: null,
          sessionId: null,
          verification: null,
        };
        if (body.identifier !== undefined) {
          const user = [...world.users.values()].find(({ email }) => email === String(body.identifier).toLowerCase());
          if (!user) {
            throw new Refusal(422, "form_identifier_not_found", "Couldn't find your account.", "identifier");
          }
          Object.assign(signIn, { status: "needs_first_factor", identifier: user.email, userId: user.id });
        }
        browser.signIn = signIn;
        if (signIn.userId && body.password !== undefined) attempt(browser, signIn, { ...body, strategy: "password" });
        return withClient(signInJson(signIn), browser, request);
      },
    ],
    [
      "GET",
      new RegExp(`^/v1/client/sign_ins/${id}$`),
      (context) => {
        const browser = browserOf(context);
        return withClient(signInJson(signInOf(browser, context.match)), browser, context.request);
      },
    ],
    [
      "POST",
      new RegExp(`^/v1/client/sign_ins/${id}/prepare_first_factor$`),
      (context) => {
        const browser = browserOf(context);
        const signIn = signInOf(browser, context.match);
        signIn.verification = verification(context.body.strategy, "unverified");
        return withClient(signInJson(signIn), browser, context.request);
      },
    ],
    [
      "POST",
      new RegExp(`^/v1/client/sign_ins/${id}/attempt_first_factor$`),
      (context) => {
        const browser = browserOf(context);
        const signIn = signInOf(browser, context.match);
        attempt(browser, signIn, context.body);
        return withClient(signInJson(signIn), browser, context.request);
      },
    ],

    [
      "GET",
      new RegExp(`^/v1/client/sessions/${id}$`),
      (context) => {
        const browser = browserOf(context);
        return withClient(sessionJson(sessionOf(browser, context.match), context.request), browser, context.request);
      },
    ],
    [
      "POST",
      new RegExp(`^/v1/client/sessions/${id}/touch$`),
      (context) => {
        const { body, match, request } = context;
        const browser = browserOf(context);
        const session = sessionOf(browser, match);
        if (body.active_organization_id !== undefined) world.activate(session, body.active_organization_id);
        session.lastActiveAt = Date.now();
        browser.lastActiveSession = session.id;
        return withClient(sessionJson(session, request), browser, request);
      },
    ],
    [
      "POST",
      new RegExp(`^/v1/client/sessions/${id}/tokens$`),
      (context) => {
        const { body, match, request } = context;
        const session = sessionOf(browserOf(context), match);
        const wanted = body.organization_id;
        if (wanted && !world.user(session.userId).roles[wanted]) {
          throw new Refusal(404, "organization_not_found_or_unauthorized", "no such organization");
        }
        return { json: token(session, request, wanted === undefined ? {} : { organizationId: wanted || null }) };
      },
    ],
    [
      "POST",
      new RegExp(`^/v1/client/sessions/${id}/tokens/${id}$`),
      (context) => {
        const { match, request } = context;
        const session = sessionOf(browserOf(context), match);
        const jwt = world.templateToken(session, match[2], { origin: request.headers.origin });
        return { json: { object: "token", jwt } };
      },
    ],
    [
      "POST",
      new RegExp(`^/v1/client/sessions/${id}/(end|remove)$`),
      (context) => {
        const browser = browserOf(context);
        const session = sessionOf(browser, context.match);
        const before = sessionJson(session, context.request);
        world.endSession(browser, session, context.match[2] === "end" ? "ended" : "removed");
        return withClient({ ...before, status: session.status }, browser, context.request);
      },
    ],

    ["GET", /^\/v1\/me$/, (context) => ({ json: { response: person(personOf(context)) } })],
    [
      "GET",
      /^\/v1\/me\/organization_memberships$/,
      (context) => list(context.url, membershipsJson(world, personOf(context))),
    ],
    ["GET", /^\/v1\/me\/organization_(?:invitations|suggestions)$/, (context) => list(context.url, [])],
    [
      "GET",
      new RegExp(`^/v1/organizations/${id}$`),
      (context) => {
        personOf(context);
        return { json: { response: organizationJson(world.organization(context.match[1])) } };
      },
    ],
  ];
}
