// Attacks with a token that a server has seen: every server in the helper's hosts gets one, and so does every log
// that keeps a header. However such a token is presented, it shows no consent page and approves nothing.

import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { after, before, describe, test } from "node:test";
import {
  asking,
  assertPageHeaders,
  claimsOf,
  clerkForTests,
  cookieHeader,
  filled,
  openPage,
  redirected,
  sendForm,
  signedInTokens,
  signIn,
  startApp,
} from "./app.mjs";

/** @import { App, Clerk, Session } from "./app.mjs" */

const now = () => Math.floor(Date.now() / 1000);
const basic = (/** @type {string} */ token) => `Basic ${Buffer.from(`clerk:${token}`).toString("base64")}`;

/** @typedef {(token: string) => Record<string, string>} Sent what is sent with the token */

/**
 * An Authorization field is refused whatever it holds: Clerk's code reads more forms of it than RFC 6750 has.
 * @type {[value: (token: string) => string, why: string][]}
 */
const fields = [
  [(token) => `Bearer ${token}`, "Bearer"],
  [(token) => `bearer ${token}`, "another case"],
  [(token) => `BEARER ${token}`, "another case again"],
  [(token) => token, "no scheme, which Clerk's code takes"],
  [(token) => `Bearer  ${token}`, "two spaces"],
  [(token) => `Bearer\t${token}`, "a tab"],
  [(token) => `Bearer ${token} `, "a space after it"],
  [(token) => `Bearer ${token}, Bearer ${token}`, "two in one"],
  [(token) => `Token ${token}`, "another scheme"],
  [(token) => basic(token), "the password of Basic, as git sends it"],
  [() => "Bearer", "no token"],
  [() => "x", "nothing that means anything"],
];

/**
 * The cookies beside the thief's own. suffix: of the instance's names.
 * @type {[value: (token: string, suffix: string) => Record<string, string>, why: string][]}
 */
const cookies = [
  [(token) => ({ __session: token }), "the session cookie"],
  [(token, suffix) => ({ [`__session_${suffix}`]: token, [`__client_uat_${suffix}`]: "1" }), "the suffixed one"],
  [
    (token, suffix) => ({ __session: token, [`__session_${suffix}`]: token, [`__client_uat_${suffix}`]: "1" }),
    "both of them",
  ],
  [(token) => ({ __session: token, __client_uat: "0" }), "a browser that says that it is signed out"],
  [(token) => ({ __session: token, __client_uat: "" }), "a browser that says nothing"],
  [(token) => ({ __session: token, __clerk_db_jwt: "dvb_2unknown" }), "a browser that Clerk does not know"],
  [(token) => ({ __clerk_handshake: token }), "a handshake's token"],
  [(token) => ({ __clerk_handshake_nonce: token }), "a handshake's nonce"],
  [(token) => ({ __clerk_db_jwt: token }), "the token of a development browser"],
  [(token, suffix) => ({ __session: token, [`__refresh_${suffix}`]: token }), "a refresh cookie"],
];

/**
 * The query beside the request.
 * @type {[value: Sent, why: string][]}
 */
const queries = [
  [(token) => ({ __session: token }), "the session cookie's name"],
  [(token) => ({ __clerk_handshake: token }), "a handshake's token"],
  [(token) => ({ __clerk_handshake_nonce: token }), "a handshake's nonce"],
  [(token) => ({ __clerk_db_jwt: token }), "the token of a development browser"],
  [(token) => ({ __clerk_ticket: token, __clerk_status: "sign_in" }), "a sign-in ticket"],
  [(token) => ({ access_token: token, token }), "RFC 6750 §2.3"],
];

/**
 * Other fields: what Clerk's own functions hand to each other, and what a proxy might.
 * @type {[value: Sent, why: string][]}
 */
const internals = [
  [(token) => ({ "x-clerk-auth-token": token, "x-clerk-auth-status": "signed-in" }), "unsigned"],
  [
    (token) => ({
      "x-clerk-auth-token": token,
      "x-clerk-auth-status": "signed-in",
      "x-clerk-auth-signature": "0".repeat(40),
    }),
    "with a made-up signature",
  ],
  [(token) => ({ "x-clerk-authorization": `Bearer ${token}`, "x-authorization": `Bearer ${token}` }), "by other names"],
  [(token) => ({ "proxy-authorization": `Bearer ${token}` }), "for a proxy"],
  [(token) => ({ "x-forwarded-authorization": `Bearer ${token}` }), "from a proxy"],
  [
    (token) => ({
      "x-middleware-override-headers": "authorization,x-clerk-auth-token",
      "x-middleware-request-authorization": `Bearer ${token}`,
      "x-middleware-request-x-clerk-auth-token": token,
    }),
    "as the proxy function would set them",
  ],
];

for (const mode of ["none", "memory"]) {
  describe(`store: ${mode}`, () => {
    /** @type {Clerk} */
    let clerk;
    /** @type {App} */
    let app;
    /** @type {Session} */
    let ada;
    /** @type {string} */
    let minted; // what the helper was given, and has sent to its hosts
    /** @type {Record<string, string>} */
    let thief;

    before(async () => {
      clerk = await clerkForTests();
      app = await startApp(clerk, { CLI_AUTH_STORE: mode === "none" ? undefined : mode });
      ada = await signIn(app);
      minted = (await signedInTokens(app, ada)).access_token;
      thief = (await clerk.control("/browser", {})).cookies;
    });
    after(async () => {
      await app?.stop();
      await clerk?.close();
    });

    // Everything that the form needs stands in the token.
    const formFor = (/** @type {string} */ token) => {
      const { sid = ada.session, o = { id: ada.organization } } = claimsOf(token);
      return filled(asking().params, { session: sid, organization: o.id ?? "" });
    };

    /**
     * The page does not show whose token this is, and the form's route approves nothing.
     * @param {string} token
     * @param {{ headers?: Record<string, string>, cookie?: string, query?: Record<string, string> }} how
     * @param {string} why
     */
    async function buysNothing(token, { headers = {}, cookie, query = {} }, why) {
      const form = formFor(token);
      const shown = await openPage(app, { ...asking().params, ...query }, { cookie, headers });
      const text = await shown.text();
      assert.ok(!text.includes('value="approve"'), `${why}: a consent page`);
      assert.ok(!text.includes("ada@acme.dev") && !text.includes(ada.session), `${why}: the page tells whose it is`);
      const leads = shown.headers.get("location");
      if (leads) assert.ok([clerk.issuer, app.origin].includes(new URL(leads, app.origin).origin), `${why}: ${leads}`);
      for (const decision of ["approve", "deny"]) {
        const answer = await sendForm(app, { ...form, decision }, { cookie, headers });
        const to = new URL(answer.headers.get("location") ?? "nowhere:", app.origin);
        const where = `${why}: ${decision}: ${answer.status} ${to}`;
        switch (answer.status) {
          case 403:
          case 500: // of a development instance, at a handshake that is none
            assert.equal(to.protocol, "nowhere:", where);
            break;
          case 307: // a development instance has used up a handshake, and begins anew
            assert.equal(to.href, `${app.origin}/api/cli-auth/approve`, where);
            break;
          default:
            assert.deepEqual([answer.status, to.origin, to.pathname], [303, app.origin, "/cli-auth"], where);
        }
      }
    }

    const withThief = (/** @type {Record<string, string>} */ more) =>
      cookieHeader({ ...thief, __client_uat: "1", ...more });

    test("a browser of its own is served, so the rows below are refused for their own reason", async () => {
      const page = await openPage(app, asking().params, ada);
      assert.match(await page.text(), /value="approve"/);
      const { params } = asking();
      const to = await redirected(await sendForm(app, filled(params, ada), ada));
      assert.equal(`${to.origin}${to.pathname}`, params.redirect_uri);
      assert.equal(claimsOf(minted).sid, ada.session);
    });

    for (const [value, why] of fields) {
      test(`an Authorization field: ${why}`, async () => {
        const headers = { authorization: value(minted) };
        await buysNothing(minted, { headers }, "alone");
        await buysNothing(minted, { headers, cookie: withThief({}) }, "in the thief's browser");
        // Two answers to "who is it?" are none.
        for (const answer of [
          await openPage(app, asking().params, { ...ada, headers }),
          await sendForm(app, filled(asking().params, ada), { ...ada, headers }),
        ]) {
          assert.equal(answer.status, 403, "beside a browser's own session");
          assertPageHeaders(answer, "'self'");
          assert.match(await answer.text(), /Authorization/);
        }
      });
    }

    test("an Authorization field: a token of any other kind", async () => {
      /** @type {(kind: string, subject: string) => Promise<string>} */
      const opaque = async (kind, subject) => (await clerk.control("/opaque", { kind, subject })).token;
      for (const token of [
        await opaque("api_key", ada.user),
        await opaque("oauth", ada.user),
        await opaque("m2m", "mch_2ci0000000000000000000000000"),
      ]) {
        const headers = { authorization: `Bearer ${token}` };
        await buysNothing(minted, { headers, cookie: withThief({}) }, token.slice(0, 3));
      }
    });

    for (const [value, why] of cookies) {
      test(`a cookie: ${why}`, async () => {
        await buysNothing(minted, { cookie: withThief(value(minted, clerk.cookieSuffix)) }, "in the thief's browser");
        await buysNothing(minted, { cookie: cookieHeader(value(minted, clerk.cookieSuffix)) }, "alone");
        const headers = { authorization: `Bearer ${minted}` };
        await buysNothing(minted, { cookie: withThief(value(minted, clerk.cookieSuffix)), headers }, "beside a header");
      });
    }

    for (const [value, why] of queries) {
      test(`a query: ${why}`, () => buysNothing(minted, { query: value(minted), cookie: withThief({}) }, why));
    }

    for (const [value, why] of internals) {
      test(`another field: ${why}`, async () => {
        for (const cookie of [undefined, withThief({}), withThief({ __session: minted })]) {
          await buysNothing(minted, { headers: value(minted), cookie }, why);
        }
      });
    }

    test("a token in the session cookie that is for this app's pages is the only one", async () => {
      /** @type {(body: object) => Promise<string>} */
      const jwt = async (body) => (await clerk.control("/token", { session: ada.session, ...body })).token;
      const session = (/** @type {object} */ claims) => jwt({ kind: "session", claims });
      const foreign = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
      const resigned = (/** @type {string} */ token, header = {}) => {
        const [head, body] = token.split(".");
        const kid = { ...JSON.parse(Buffer.from(head, "base64url").toString()), ...header };
        const input = `${Buffer.from(JSON.stringify(kid)).toString("base64url")}.${body}`;
        return `${input}.${sign("sha256", Buffer.from(input), foreign).toString("base64url")}`;
      };
      const good = await session({ azp: app.origin });
      const rows = [
        [minted, "minted through the Backend API: it names no page"],
        [await session({ azp: undefined }), "no page"],
        [await session({ azp: null }), "null"],
        [await session({ azp: "" }), "an empty one"],
        [await session({ azp: "https://other.acme.dev" }), "another app of the instance"],
        [await session({ azp: `${app.origin}/` }), "a slash more"],
        [await session({ azp: `${app.origin}.evil.com` }), "a host that begins with ours"],
        [await session({ azp: app.origin.replace("http:", "https:") }), "another scheme"],
        [await session({ azp: app.origin.replace("localhost", "LOCALHOST") }), "another spelling"],
        [await session({ azp: "http://localhost:3000" }), "another port of this machine"],
        [await session({ azp: [app.origin] }), "a list"],
        [await session({ azp: { [app.origin]: 1 } }), "an object"],
        [await session({ aud: app.origin }), "an audience is not a page"],
        [await session({ AZP: app.origin }), "another claim"],
        [await session({ azp: app.origin, exp: now() - 60, iat: now() - 120, nbf: now() - 130 }), "ours, and over"],
        [await session({ azp: app.origin, sub: "user_2other" }), "another user's name on it"],
        [await session({ azp: app.origin, sid: "" }), "no session"],
        [await jwt({ kind: "template" }), "of a template"],
        [await jwt({ kind: "template", origin: app.origin }), "of a template, for a page of ours"],
        [
          await jwt({ kind: "template", origin: app.origin, claims: { sid: ada.session } }),
          "of a template that names the session",
        ],
        [await jwt({ kind: "oauth", user: ada.user, claims: { azp: app.origin, sid: ada.session } }), "of OAuth"],
        [await jwt({ kind: "m2m", claims: { azp: app.origin, sid: ada.session, sub: ada.user } }), "a machine's"],
        [resigned(good), "another instance's signature"],
        [resigned(good, { kid: "ins_2other" }), "another instance's key"],
        [`${good.split(".").slice(0, 2).join(".")}.`, "no signature"],
        [
          `${Buffer.from('{"alg":"none","typ":"JWT"}').toString("base64url")}.${good.split(".")[1]}.`,
          "unsigned, and it says so",
        ],
      ];
      for (const [token, why] of rows) {
        for (const more of [{ __session: token }, { [`__session_${clerk.cookieSuffix}`]: token }]) {
          const cookie = withThief({ [`__client_uat_${clerk.cookieSuffix}`]: "1", ...more });
          await buysNothing(token, { cookie }, why);
        }
      }
    });

    test("a handshake that brings a stolen token", async () => {
      const lines = [`__session=${minted}; Path=/`, "__client_uat=1; Path=/"];
      for (const kind of ["session", "template"]) {
        const body = { kind, session: ada.session, origin: app.origin, claims: { handshake: lines } };
        const { token } = await clerk.control("/token", body);
        await buysNothing(minted, { query: { __clerk_handshake: token }, cookie: withThief({}) }, `${kind}: the query`);
        await buysNothing(minted, { cookie: withThief({ __clerk_handshake: token }) }, `${kind}: the cookie`);
      }
    });
  });
}
