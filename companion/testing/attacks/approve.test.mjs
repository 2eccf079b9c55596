// Attacks on the consent form: a decision that the person did not make, or made about something else.

import assert from "node:assert/strict";
import { request as plainRequest } from "node:http";
import { after, before, test } from "node:test";
import {
  asking,
  assertPageHeaders,
  claimsOf,
  clerkForTests,
  cookieHeader,
  filled,
  openPage,
  port,
  redeem,
  redirected,
  sendForm,
  signIn,
  startApp,
  tokens,
} from "./app.mjs";

/** @import { App, Changes, Clerk, Session } from "./app.mjs" */

/** @type {Clerk} */
let clerk;
/** @type {App} */
let app;
/** @type {Session} */
let ada;
const now = () => Math.floor(Date.now() / 1000);

before(async () => {
  clerk = await clerkForTests();
  app = await startApp(clerk);
  ada = await signIn(app);
});
after(async () => {
  await app?.stop();
  await clerk?.close();
});

test("the form that the page shows is the one that is taken", async () => {
  const { params } = asking({ machine_name: `"ada" & <co>`, login_hint: "ada@acme.dev" });
  const page = await (await openPage(app, params, ada)).text();
  const fields = [...page.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"\/>/g)].map(
    ([, name, value]) => [
      name,
      value.replaceAll("&quot;", '"').replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&"),
    ],
  );
  assert.deepEqual(Object.fromEntries(fields), { ...params, session: ada.session, organization: ada.organization });
  for (const [decision, name] of [
    ["approve", "code"],
    ["deny", "error"],
  ]) {
    const to = await redirected(await sendForm(app, [...fields, ["decision", decision]], ada));
    assert.equal(`${to.origin}${to.pathname}`, params.redirect_uri);
    assert.deepEqual([...to.searchParams.keys()], [name, "state", "iss"]);
    assert.equal(to.searchParams.get("state"), params.state);
    assert.equal(to.searchParams.get("iss"), app.origin);
    if (decision === "deny") assert.equal(to.searchParams.get("error"), "access_denied");
  }
});

/** @type {[change: Record<string, string | undefined | ((app: App) => string)>, why: string][]} */
const foreign = [
  [{ origin: "https://evil.com" }, "another site"],
  [{ origin: undefined }, "a browser that says nothing"],
  [{ origin: "null" }, "a sandboxed frame, or a page without a referrer"],
  [{ origin: "" }, "an empty Origin"],
  [{ origin: "https://localhost" }, "the host by another scheme"],
  [{ origin: "http://localhost" }, "the host at another port"],
  [{ origin: (app) => `${app.origin}/` }, "a slash more"],
  [{ origin: (app) => `${app.origin}.evil.com` }, "a host that begins with ours"],
  [{ origin: (app) => app.origin.replace("localhost", "localhost.") }, "a trailing dot"],
  [{ origin: (app) => app.origin.replace("localhost", "127.0.0.1") }, "this machine by another name"],
  [{ origin: (app) => app.origin.replace("localhost", "LOCALHOST") }, "another spelling, which no browser sends"],
  [{ origin: (app) => `${app.origin} https://evil.com` }, "two of them"],
  [{ "sec-fetch-site": "cross-site" }, "our Origin, but the browser says it comes from another site"],
  [{ "sec-fetch-site": "same-site" }, "a neighbour below the same domain"],
  [{ "sec-fetch-site": "none" }, "an address that was typed in, which posts no form"],
  [{ "sec-fetch-site": "same-origin, cross-site" }, "both"],
  [{ origin: "https://evil.com", "sec-fetch-site": undefined }, "an old browser, another site"],
];
for (const [change, why] of foreign) {
  test(`a form from elsewhere is refused: ${why}`, async () => {
    const headers = Object.fromEntries(
      Object.entries(change).map(([name, value]) => [name, typeof value === "function" ? value(app) : value]),
    );
    for (const decision of ["approve", "deny"]) {
      const answer = await sendForm(app, filled(asking().params, ada, { decision }), { ...ada, headers });
      assert.equal(answer.status, 403);
      assert.equal(answer.headers.get("location"), null);
      assertPageHeaders(answer, "'self'");
    }
  });
}

test("a browser without Sec-Fetch-Site is judged by its Origin", async () => {
  const headers = { "sec-fetch-site": undefined, "sec-fetch-dest": undefined };
  assert.equal((await sendForm(app, filled(asking().params, ada), { ...ada, headers })).status, 303);
});

test("another account than the one that the page showed is asked again", async () => {
  const bob = await signIn(app, { user: "bob@acme.dev", organization: "" });
  const other = await signIn(app);
  const ended = await signIn(app);
  await clerk.control("/session", { session: ended.session, status: "revoked" });
  const switched = await signIn(app);
  await clerk.control("/organization", { session: switched.session, id: clerk.organizations.Lab });
  const old = await signIn(app);
  const token = await overdue(old);
  const nobody = cookieHeader((await clerk.control("/browser", {})).cookies);
  const template = await clerk.control("/token", { kind: "template", session: ada.session });

  /** @type {[who: { cookie?: string }, change: Changes, why: string, shown?: Session][]} */
  const rows = [
    [{ cookie: nobody }, {}, "signed out"],
    [{}, {}, "no cookies at all"],
    [{ cookie: ada.cookie.replace(/__session=[^;]*/g, `__session=${token}`) }, {}, "some session, not the one", old],
    [{ cookie: withSession(old, token) }, {}, "the cookie's token is over", old],
    [{ cookie: withSession(ada, "eyJhbGciOiJub25lIn0.e30.") }, {}, "an unsigned token"],
    [{ cookie: withSession(ada, template.token) }, {}, "a token from a template, which outlives its session"],
    [{ cookie: bob.cookie }, {}, "another person since the page was shown"],
    [ada, { session: other.session }, "another session of the same person"],
    [ada, { session: "" }, "no session in the form"],
    [ada, { session: undefined }, "no session in the form, again"],
    [ada, { session: `${ada.session} ` }, "a space more"],
    [ada, { organization: clerk.organizations.Lab }, "another organisation than the session's"],
    [ada, { organization: "" }, "the personal account, while the session is in an organisation"],
    [ada, { organization: undefined }, "no organisation in the form, while the session is in one"],
    [bob, { organization: clerk.organizations.Acme }, "an organisation that the person is not in", bob],
    [ended, {}, "the session was revoked, the cookie's token lives on", ended],
    [switched, {}, "the organisation was switched after the page was shown", switched],
  ];
  for (const [who, change, why, shown = ada] of rows) {
    const { params } = asking({ machine_name: "ada's laptop" });
    const form = filled(params, shown, change);
    const to = await redirected(await sendForm(app, form, { cookie: who.cookie }));
    assert.equal(`${to.origin}${to.pathname}`, `${app.origin}/cli-auth`, why);
    assert.deepEqual(Object.fromEntries(to.searchParams), { ...params, again: "1" }, why);
  }
});

/**
 * A token of a session's cookie that is over.
 * @param {Session} session
 */
async function overdue({ session }) {
  const claims = { iat: now() - 120, nbf: now() - 130, exp: now() - 60 };
  return (await clerk.control("/token", { kind: "session", session, origin: app.origin, claims })).token;
}

/**
 * @param {Session} browser
 * @param {string} token
 */
function withSession(browser, token) {
  return browser.cookie.replace(/(__session[^=;]*)=[^;]*/g, `$1=${token}`);
}

test("the organisation is the session's, on the page and in the grant, whatever tab wrote the cookie", async () => {
  const session = await signIn(app); // its cookie says Acme for as long as it lives
  await clerk.control("/organization", { session: session.session, id: clerk.organizations.Lab });
  const { params, verifier } = asking();
  const page = await (await openPage(app, params, session)).text();
  assert.match(page, new RegExp(`name="organization" value="${clerk.organizations.Lab}"`));
  const form = filled(params, session, { organization: clerk.organizations.Lab });
  const to = await redirected(await sendForm(app, form, session));
  const code = to.searchParams.get("code") ?? "";
  const { access_token } = await tokens(await redeem(app, { code, verifier, redirect_uri: params.redirect_uri }));
  assert.equal(claimsOf(access_token).o.id, clerk.organizations.Lab);
});

test("asked again, the page stays here: Clerk's redirect would be stopped by the form's own policy", async () => {
  const old = await signIn(app);
  const cookie = withSession(old, await overdue(old));
  const { params } = asking();
  assert.equal((await openPage(app, params, { cookie })).status, 307, "without the mark it leads to Clerk");
  const again = await openPage(app, { ...params, again: "1" }, { cookie });
  assert.equal(again.status, 200);
  const text = await again.text();
  assert.doesNotMatch(text, /value="approve"/);
  assert.match(text, /<h1>Sign in<\/h1>/);
});

test("a session token that names no page, or another: it is renewed by the page's script and never let through", async () => {
  for (const origin of [undefined, "https://other.acme.dev", `${app.origin}/`]) {
    const session = await signIn(app, { origin });
    const { params } = asking();
    const to = await redirected(await sendForm(app, filled(params, session), session));
    assert.equal(`${to.origin}${to.pathname}`, `${app.origin}/cli-auth`);
    assert.deepEqual(Object.fromEntries(to.searchParams), { ...params, again: "1" });
    for (const more of /** @type {Record<string, string>[]} */ ([
      {},
      { again: "1" },
      { renewed: "1" },
      { again: "1", renewed: "1" },
    ])) {
      const page = await openPage(app, { ...params, ...more }, session);
      assert.equal(page.status, 200);
      assertPageHeaders(page, `'self' http://127.0.0.1:${port}`);
      const text = await page.text();
      assert.match(text, /Renewing your session/);
      for (const secret of ['value="approve"', "ada@acme.dev", session.session, session.user, session.organization]) {
        assert.ok(!text.includes(secret), `${JSON.stringify(more)}: ${secret}`);
      }
    }
  }
});

test("a session that has ended gets no consent page, whatever its cookie says", async () => {
  for (const status of ["revoked", "ended", "expired", "removed", "replaced", "abandoned", "pending"]) {
    const session = await signIn(app);
    await clerk.control("/session", { session: session.session, status });
    const page = await openPage(app, asking().params, session);
    assert.equal(page.status, 200, status);
    assert.doesNotMatch(await page.text(), /value="approve"/, status);
  }
});

test("a decision is one word of two", async () => {
  for (const decision of [undefined, "", "Approve", "approve ", "yes", "1"]) {
    const form = filled(asking().params, ada, { decision });
    const answer = await sendForm(app, form, ada);
    assert.equal(answer.status, 400, String(decision));
    assert.equal(answer.headers.get("location"), null);
  }
  for (const name of ["decision", "session", "organization"]) {
    const pairs = [...Object.entries(filled(asking().params, ada)), [name, "deny"]];
    const answer = await sendForm(app, pairs, ada);
    assert.equal(answer.status, 400, `two of ${name}`);
    assert.match(await answer.text(), new RegExp(`The parameter ${name} `));
  }
});

test("only a form, and not a large one", async () => {
  const form = filled(asking().params, ada);
  const type = (/** @type {string} */ value) => ({ ...ada, headers: { "content-type": value } });
  for (const wrong of [
    "application/json",
    "text/plain",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencodedx",
  ]) {
    const answer = await sendForm(app, form, type(wrong));
    assert.equal(answer.status, 415, wrong);
  }
  assert.equal((await sendForm(app, JSON.stringify(form), type("application/json"))).status, 415);
  assert.equal((await sendForm(app, form, type("Application/X-WWW-Form-Urlencoded; charset=UTF-8"))).status, 303);
  for (const [filler, status] of [
    [12 * 1024, 303],
    [17 * 1024, 413],
    [1 << 20, 413],
  ]) {
    const answer = await sendForm(app, { ...form, filler: "x".repeat(filler) }, ada);
    assert.equal(answer.status, status, String(filler));
  }
  assert.equal((await sendForm(app, `${new URLSearchParams(form)}&x=\xff`, ada)).status, 303, "UTF-8 is made of it");
});

test("a form is posted", async () => {
  for (const method of ["GET", "HEAD", "PUT", "PATCH", "DELETE"]) {
    const query = new URLSearchParams(filled(asking().params, ada));
    const answer = await fetch(`${app.origin}/api/cli-auth/approve?${query}`, {
      method,
      redirect: "manual",
      headers: { cookie: ada.cookie, origin: app.origin },
    });
    assert.equal(answer.status, 405, method);
    assert.equal(answer.headers.get("allow"), "POST", method);
  }
});

test("parameters in the address are not those of the form", async () => {
  const query = new URLSearchParams(filled(asking().params, ada));
  const answer = await fetch(`${app.origin}/api/cli-auth/approve?${query}`, {
    method: "POST",
    redirect: "manual",
    headers: { cookie: ada.cookie, origin: app.origin, "content-type": "application/x-www-form-urlencoded" },
  });
  assert.equal(answer.status, 400);
});

test("Clerk does not answer: nothing is approved, no one is signed out, and the next attempt works", async () => {
  for (const status of [500, 503, 429, 401, 403, "drop"]) {
    await clerk.control("/fault", { path: `/v1/sessions/${ada.session}`, status });
    const answer = await sendForm(app, filled(asking().params, ada), ada);
    assert.equal(answer.status, 503, String(status));
    assert.equal(answer.headers.get("location"), null);
    assert.match(answer.headers.get("retry-after") ?? "", /^[0-9]+$/);
    assertPageHeaders(answer, "'self'", String(status));

    const user = `/v1/users/${ada.user}`;
    const paths = [`/v1/sessions/${ada.session}`, user];
    if (status !== 403) paths.push(`${user}/organization_memberships`); // 403 there: no organisations
    for (const path of paths) {
      await clerk.control("/fault", { path, status });
      const text = await (await openPage(app, asking().params, ada)).text();
      assert.match(text, /Try again in a moment/, `${status} ${path}`);
      assert.doesNotMatch(text, /value="approve"/, `${status} ${path}`);
    }
    assert.equal((await sendForm(app, filled(asking().params, ada), ada)).status, 303, String(status));
  }
});

test("a forged Host does not move the way back", async () => {
  const other = await signIn(app);
  const body = String(new URLSearchParams(filled(asking().params, other)));
  /** @type {string} */
  const location = await new Promise((resolve, reject) => {
    const request = plainRequest(
      `${app.origin}/api/cli-auth/approve`,
      {
        method: "POST",
        headers: {
          host: "evil.com",
          "x-forwarded-host": "evil.com",
          origin: app.origin,
          cookie: ada.cookie,
          "content-type": "application/x-www-form-urlencoded",
          "content-length": body.length,
        },
      },
      (response) => {
        response.resume();
        resolve(response.headers.location ?? "");
      },
    );
    request.on("error", reject);
    request.end(body);
  });
  assert.ok(location.startsWith(`${app.origin}/cli-auth?`), location);
});
