// Attacks on the page of the machines that are signed in: to see or to end what is another person's, or to have a person
// end their own without their word.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  asking,
  assertPageHeaders,
  clerkForTests,
  cookieHeader,
  filled,
  redeem,
  redirected,
  refresh,
  refused,
  revoke,
  sendForm,
  signedInTokens,
  signIn,
  startApp,
  tokens,
} from "./app.mjs";

/** @import { App, Changes, Clerk, Query, Session } from "./app.mjs" */

const words = "this machine was signed out on the page of the machines that are signed in";

/**
 * Opens the page as a browser does.
 * @param {App} app
 * @param {{ cookie?: string, headers?: Record<string, string>, query?: string }} [how]
 */
function openMachines(app, { cookie, headers = {}, query = "" } = {}) {
  return fetch(`${app.origin}/cli-auth/machines${query}`, {
    redirect: "manual",
    headers: { accept: "text/html", "sec-fetch-dest": "document", ...(cookie ? { cookie } : {}), ...headers },
  });
}

/**
 * Sends the page's form.
 * @param {App} app
 * @param {Query} form
 * @param {{ cookie?: string, headers?: Changes, method?: string }} options
 */
const sendSignOut = (app, form, options) => sendForm(app, form, { ...options, path: "/api/cli-auth/machines" });

/**
 * The grants that the page lists: what its buttons send.
 * @param {App} app
 * @param {Session} session
 */
async function listed(app, session) {
  const page = await openMachines(app, session);
  assert.equal(page.status, 200);
  const text = await page.text();
  const buttons = [...text.matchAll(/<button [^>]*>/g)].map(([button]) => button);
  return buttons
    .filter((button) => button.includes(' name="grant"'))
    .map((button) => / value="([^"]*)"/.exec(button)?.[1] ?? "")
    .filter((value) => value !== "all");
}

/**
 * Signs a machine in.
 * @param {App} app
 * @param {Session} session
 * @param {string} name
 */
async function machine(app, session, name) {
  const { params, verifier } = asking({ machine_name: name });
  const to = await redirected(await sendForm(app, filled(params, session), session));
  const code = to.searchParams.get("code") ?? "";
  return tokens(await redeem(app, { code, verifier, redirect_uri: params.redirect_uri }));
}

/**
 * @param {Response} response
 * @param {string} why
 */
async function refusedGrant(response, why) {
  const { error_description: description } = await response.clone().json();
  await refused(response, 400, "invalid_grant", why);
  return description;
}

for (const mode of ["none", "memory"]) {
  const stored = mode === "memory";
  describe(`store: ${mode}`, () => {
    /** @type {Clerk} */
    let clerk;
    /** @type {App} */
    let app;

    before(async () => {
      clerk = await clerkForTests();
      app = await startApp(clerk, { CLI_AUTH_STORE: stored ? "memory" : undefined });
    });
    after(async () => {
      await app?.stop();
      await clerk?.close();
    });

    /** A browser in which no person is signed in. */
    const stranger = async () => ({ cookie: cookieHeader((await clerk.control("/browser", {})).cookies) });

    /** A person with two machines: the session, the tokens of both, and what the page calls them. */
    async function person(user = "ada@acme.dev") {
      const session = await signIn(app, user.startsWith("bob") ? { user, organization: "" } : { user });
      for (const grant of await listed(app, session)) {
        await sendSignOut(app, { session: session.session, grant }, session); // of the rows before this one
      }
      const first = await machine(app, session, "the laptop");
      const [one] = await listed(app, session);
      const second = await machine(app, session, `"the" <b>desk</b> & co`);
      const both = await listed(app, session);
      const [two] = both.filter((grant) => grant !== one);
      assert.ok(one && two, "the page lists both");
      return { session, first, second, one, two };
    }

    test("the page cannot be framed, and is a document of its own", async () => {
      const session = await signIn(app);
      for (const who of [session, await stranger()]) {
        const page = await openMachines(app, who);
        assert.equal(page.status, 200);
        assertPageHeaders(page, "'self'");
      }
      for (const destination of ["iframe", "empty", "image"]) {
        const page = await openMachines(app, { ...session, headers: { "sec-fetch-dest": destination } });
        assert.equal(page.status, 400, destination);
      }
      const posted = await fetch(`${app.origin}/cli-auth/machines`, {
        method: "POST",
        headers: { cookie: session.cookie },
      });
      assert.equal(posted.status, 405);
    });

    test("an Authorization field is refused, whatever it holds", async () => {
      const session = await signIn(app);
      const { access_token } = await signedInTokens(app, session);
      for (const authorization of [`Bearer ${access_token}`, "Basic YTpi", ""]) {
        for (const cookie of [session.cookie, undefined]) {
          const page = await openMachines(app, { cookie, headers: { authorization } });
          assert.equal(page.status, 403);
          const form = { session: session.session, grant: "all" };
          const answer = await sendSignOut(app, form, { cookie, headers: { authorization } });
          assert.equal(answer.status, stored ? 403 : 404);
        }
      }
    });

    test("the form is posted, from a page of ours, and is small", async () => {
      const session = await signIn(app);
      const form = { session: session.session, grant: "all" };
      for (const method of ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
        assert.equal((await sendSignOut(app, form, { ...session, method })).status, 405, method);
      /** @type {[headers: Changes, why: string][]} */
      const foreign = [
        [{ origin: "https://evil.com" }, "another site"],
        [{ origin: undefined }, "a browser that says nothing"],
        [{ origin: "null" }, "a sandboxed frame"],
        [{ origin: `${app.origin}.evil.com` }, "a host that begins with ours"],
        [{ origin: `${app.origin}/` }, "a slash more"],
        [{ "sec-fetch-site": "cross-site" }, "our Origin, but the browser says it comes from another site"],
        [{ "sec-fetch-site": "same-site" }, "a neighbour below the same domain"],
        [{ "sec-fetch-site": "none" }, "an address that was typed in"],
        [{ origin: "https://evil.com", "sec-fetch-site": undefined }, "an old browser, another site"],
      ];
      for (const [headers, why] of foreign) {
        const answer = await sendSignOut(app, form, { ...session, headers });
        assert.equal(answer.status, 403, why);
        assertPageHeaders(answer, "'self'", why);
      }
      if (!stored) return;
      /** @type {[form: string[][], status: number][]} */
      const wrongForms = [
        [[], 400],
        [[["grant", "all"]], 400],
        [[["session", session.session]], 400],
        [[...Object.entries(form), ["grant", "all"]], 400],
        [[...Object.entries(form), ["more", "x".repeat(20_000)]], 413],
      ];
      for (const [wrong, status] of wrongForms) {
        assert.equal((await sendSignOut(app, wrong, session)).status, status);
      }
      const json = { ...session, headers: { "content-type": "application/json" } };
      assert.equal((await sendSignOut(app, form, json)).status, 415);
    });

    if (!stored) {
      test("without a store the page says why it is empty, to all the same, and the form is not there", async () => {
        const session = await signIn(app);
        await signedInTokens(app, session);
        for (const who of [session, await stranger()]) {
          const text = await (await openMachines(app, who)).text();
          assert.match(text, /keeps no list of the machines/);
          assert.doesNotMatch(text, /name="grant"/);
        }
        const answer = await sendSignOut(app, { session: session.session, grant: "all" }, session);
        assert.equal(answer.status, 404);
        assertPageHeaders(answer, "'self'");
      });
      return;
    }

    test("a person sees their own machines, by the names these gave themselves, and nothing that opens a grant", async () => {
      const ada = await person();
      const page = await openMachines(app, ada.session);
      const text = await page.text();
      assert.match(text, /the laptop/);
      assert.match(text, /&quot;the&quot; &lt;b&gt;desk&lt;\/b&gt; &amp; co/);
      assert.match(text, /Acme/);
      assert.doesNotMatch(text, /<b>desk|eyJ/);
      const bob = await signIn(app, { user: "bob@acme.dev", organization: "" });
      const other = await (await openMachines(app, bob)).text();
      for (const word of ["laptop", "desk", ada.one, ada.two]) assert.ok(!other.includes(word), word);
      const none = await (await openMachines(app, await stranger())).text();
      for (const word of ["laptop", "desk", ada.one, ada.two]) assert.ok(!none.includes(word), word);
    });

    test("one machine is signed out at once, is told so, and the other goes on", async () => {
      const { session, first, second, one, two } = await person();
      const again = await tokens(await refresh(app, first.refresh_token));
      const to = await redirected(await sendSignOut(app, { session: session.session, grant: one }, session));
      assert.equal(to.href, `${app.origin}/cli-auth/machines?again=1`);
      assert.equal(await refusedGrant(await refresh(app, again.refresh_token), "signed out"), words);
      assert.equal(await refusedGrant(await refresh(app, again.refresh_token), "and stays so"), words);
      assert.equal(await refusedGrant(await refresh(app, first.refresh_token), "nor an older one"), words);
      assert.deepEqual(await listed(app, session), [two]);
      await tokens(await refresh(app, second.refresh_token));
    });

    test("all machines at once; those of another person go on", async () => {
      const ada = await person();
      const bob = await person("bob@acme.dev");
      await redirected(await sendSignOut(app, { session: ada.session.session, grant: "all" }, ada.session));
      for (const { refresh_token } of [ada.first, ada.second])
        assert.equal(await refusedGrant(await refresh(app, refresh_token), "all"), words);
      assert.deepEqual(await listed(app, ada.session), []);
      assert.equal((await listed(app, bob.session)).length, 2);
      await tokens(await refresh(app, bob.first.refresh_token));
    });

    test("another person's grant, one that is not there, one that is over: the same answer, and nothing ends", async () => {
      const ada = await person();
      const bob = await person("bob@acme.dev");
      await sendSignOut(app, { session: bob.session.session, grant: bob.two }, bob.session);
      /** @type {string[]} */
      const answers = [];
      const rows = [
        [ada.one, "another person's"],
        ["A".repeat(32), "made up"],
        [bob.two, "signed out already"],
        [`${bob.one} `, "a space more"],
        [`${ada.one},${bob.one}`, "two of them"],
        ["ALL", "another spelling"],
        ["*", "a pattern"],
        ["x".repeat(10_000), "a long one"],
      ];
      for (const [grant, why] of rows) {
        const answer = await sendSignOut(app, { session: bob.session.session, grant }, bob.session);
        const headers = [...answer.headers].filter(([name]) => !["date", "connection", "keep-alive"].includes(name));
        answers.push(JSON.stringify([answer.status, headers.sort(), await answer.text()]));
        assert.equal(answers.at(-1), answers[0], why);
      }
      assert.equal((await listed(app, ada.session)).length, 2);
      assert.deepEqual(await listed(app, bob.session), [bob.one]);
      await tokens(await refresh(app, ada.first.refresh_token));
      await tokens(await refresh(app, bob.first.refresh_token));
    });

    test("a session that is not the one of the page, or no browser's own, ends nothing", async () => {
      const { session, first, one } = await person();
      const elsewhere = await signIn(app);
      const bob = await signIn(app, { user: "bob@acme.dev", organization: "" });
      const ended = await signIn(app);
      await clerk.control("/session", { session: ended.session, status: "revoked" });
      const minted = await signIn(app, { origin: undefined });
      const foreign = await signIn(app, { origin: "https://other.acme.dev" });
      /** @type {[who: { cookie?: string }, shown: string, why: string][]} */
      const wrongSessions = [
        [session, elsewhere.session, "the page of another session of the same person"],
        [session, "sess_made_up", "no session"],
        [bob, session.session, "another person with the page's fields"],
        [{}, session.session, "no cookies at all"],
        [ended, ended.session, "the session was revoked, its cookie lives on"],
        [minted, minted.session, "a token that names no page, as a minted one"],
        [foreign, foreign.session, "a token of another app of the instance"],
      ];
      for (const [who, shown, why] of wrongSessions) {
        for (const grant of [one, "all"]) {
          const to = await redirected(await sendSignOut(app, { session: shown, grant }, who));
          assert.equal(to.href, `${app.origin}/cli-auth/machines?again=1`, why);
        }
      }
      assert.equal((await listed(app, session)).length, 2);
      await tokens(await refresh(app, first.refresh_token));
      for (const who of [minted, foreign]) {
        for (const query of ["", "?again=1", "?renewed=1"]) {
          const page = await openMachines(app, { ...who, query });
          assert.equal(page.status, 200);
          const text = await page.text();
          assert.match(text, /Renewing your session/);
          for (const secret of ["laptop", "desk", one, who.session, who.user])
            assert.ok(!text.includes(secret), secret);
        }
      }
    });

    test("another session of the same person may end it: the list is the person's", async () => {
      const { first, one } = await person();
      const elsewhere = await signIn(app);
      assert.ok((await listed(app, elsewhere)).includes(one));
      await redirected(await sendSignOut(app, { session: elsewhere.session, grant: one }, elsewhere));
      assert.equal(await refusedGrant(await refresh(app, first.refresh_token), "ended elsewhere"), words);
    });

    test("sent again, a form ends nothing more: not what the machine got since", async () => {
      const { session, first, one } = await person();
      const form = { session: session.session, grant: one };
      await redirected(await sendSignOut(app, form, session));
      const anew = await machine(app, session, "the laptop");
      await redirected(await sendSignOut(app, form, session));
      await tokens(await refresh(app, anew.refresh_token));
      await refusedGrant(await refresh(app, first.refresh_token), "signed out");
    });

    test("a code that was used twice, a refresh token that was, and a logout leave the list; the helper hears no more", async () => {
      const { session, first, second, two } = await person();
      await tokens(await refresh(app, first.refresh_token));
      assert.notEqual(await refusedGrant(await refresh(app, first.refresh_token), "twice"), words);
      assert.deepEqual(await listed(app, session), [two]);
      await revoke(app, second.refresh_token);
      assert.notEqual(await refusedGrant(await refresh(app, second.refresh_token), "logged out"), words);
      assert.deepEqual(await listed(app, session), []);
    });

    test("Clerk does not answer: nothing is ended, and the next attempt works", async () => {
      const { session, one } = await person();
      const form = { session: session.session, grant: one };
      for (const status of [500, 429, "drop"]) {
        await clerk.control("/fault", { path: `/v1/sessions/${session.session}`, status });
        const answer = await sendSignOut(app, form, session);
        assert.equal(answer.status, 503, String(status));
        await clerk.control("/fault", { path: `/v1/sessions/${session.session}`, status });
        assert.match(
          await (await openMachines(app, session)).text(),
          /The sign-in service of localhost:\d+ does not answer/,
        );
      }
      assert.equal((await listed(app, session)).length, 2);
      await redirected(await sendSignOut(app, form, session));
      assert.equal((await listed(app, session)).length, 1);
    });
  });
}

test("a store that does not answer: the page and the form say so", async (t) => {
  const clerk = await clerkForTests();
  t.after(() => clerk.close());
  const app = await startApp(clerk, { CLI_AUTH_STORE: "http://127.0.0.1:1", CLI_AUTH_STORE_TOKEN: "private" });
  t.after(() => app.stop());
  const session = await signIn(app);
  assert.match(
    await (await openMachines(app, session)).text(),
    /The list of machines of localhost:\d+ cannot be read now/,
  );
  const answer = await sendSignOut(app, { session: session.session, grant: "all" }, session);
  assert.equal(answer.status, 503);
  assertPageHeaders(answer, "'self'");
});
