// What a test may do to the stand-in: everything that a person would do in Clerk's dashboard, and some harm.
import { Refusal } from "./web.mjs";

/** @import { Body, Journal, Route } from "./web.mjs" */
/** @import { World } from "./world.mjs" */

const statuses = ["active", "pending", "revoked", "ended", "expired", "removed", "replaced", "abandoned"];

/**
 * The routes, for serve() of web.mjs. Bodies are JSON objects.
 * @param {World} world
 * @param {Journal} journal
 * @returns {Route[]}
 */
export function controlRoutes(world, journal) {
  /** @type {(path: string, answer: (body: Body) => object | void) => Route} */
  const post = (path, answer) => [
    "POST",
    new RegExp(`^/${path}$`),
    ({ body }) => ({ json: answer(body) ?? { ok: true } }),
  ];
  /** @type {Record<string, (body: Body) => string>} */
  const mint = {
    session: (body) => world.sessionToken(world.session(body.session), body),
    template: (body) => world.templateToken(world.session(body.session), body.template ?? "cli_session_token", body),
    oauth: (body) => world.oauthToken(world.user(body.user), body),
    m2m: (body) => world.m2mToken(body),
  };

  return [
    // All users signed out, no faults, an empty log.
    post("reset", () => {
      world.reset();
      journal.reset();
    }),
    // {user, organization?, seconds?, origin?, browser?}: a signed-in session without a browser. `seconds` is how long
    // the token in the cookie lives; Clerk's own live for 60. `origin` is the page that it names (azp), none if it is
    // left out, as after a handshake. `browser` is the __clerk_db_jwt of an earlier answer.
    post("sign-in", ({ user, organization, seconds = 600, origin, browser: known }) => {
      const browser = world.browsers.get(known) ?? world.newBrowser();
      const session = world.startSession(
        browser,
        world.user(user),
        organization ? world.organization(organization).id : null,
      );
      return {
        session: session.id,
        user: session.userId,
        organization: session.organizationId,
        browser: browser.token,
        cookies: world.cookies(browser, { origin, seconds }),
      };
    }),
    // {}: the cookies of a browser without a session.
    post("browser", () => {
      const browser = world.newBrowser();
      return { browser: browser.token, cookies: world.cookies(browser) };
    }),
    // {session, status}: as in the dashboard, or by time.
    post("session", ({ session, status }) => {
      if (!statuses.includes(status)) throw new Refusal(422, "form_param_invalid", statuses.join(", "), "status");
      world.session(session).status = status;
    }),
    // {session, id}: makes an organisation the active one of a session; an empty id is the personal account.
    post("organization", ({ session, id }) => world.activate(world.session(session), id)),
    // {user?}: the sessions of one or of all. For tests that signed in through a browser.
    post("sessions", ({ user }) => {
      const wanted = user ? world.user(user).id : undefined;
      const sessions = [...world.sessions.values()]
        .filter(({ userId }) => !wanted || userId === wanted)
        .map(({ id, userId, status, organizationId }) => ({ id, user: userId, status, organization: organizationId }));
      return { sessions };
    }),
    // {kind: "session"|"template"|"oauth"|"m2m", session | user, seconds?, claims?}: any JWT of the instance.
    post("token", (body) => {
      if (!Object.hasOwn(mint, body.kind)) throw new Refusal(422, "form_param_invalid", "unknown kind", "kind");
      return { token: mint[body.kind](body) };
    }),
    // {kind: "m2m"|"api_key"|"oauth", subject, scopes?, seconds?, revoked?}: an opaque token.
    post("opaque", (body) => ({ token: world.opaqueToken(body.kind, { ...body, subject: body.subject }) })),
    // {token, revoked}: an opaque token is revoked, or not.
    post("opaque/revoke", ({ token, revoked = true }) => {
      world.opaqueOf(token).revoked = revoked;
    }),
    // {path, status: number|"drop"|"hang", times?, method?, headers?}
    post("fault", (body) => journal.fault({ ...body, path: body.path, status: body.status })),
    // The requests so far: server, method, path and status, no bodies and no queries.
    ["GET", /^\/log$/, () => ({ json: journal.entries })],
  ];
}
