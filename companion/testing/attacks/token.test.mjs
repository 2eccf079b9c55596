// Attacks on the token and revocation endpoints, by an attacker who has caught something: a code, a refresh token, an
// answer; or who has nothing. Each runs without a store and with one; what differs between them is said in the row.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import {
  approved,
  asking,
  claimsOf,
  clerkForTests,
  client,
  codeForm,
  forge,
  port,
  post,
  redeem,
  refresh,
  refused,
  revoke,
  secret,
  signedInTokens,
  signIn,
  startApp,
  tokens,
  unseal,
} from "./app.mjs";

/** @import { App, Changes, Clerk, Session } from "./app.mjs" */

const { version: pageVersion } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));

const now = () => Math.floor(Date.now() / 1000);
const statuses = ["revoked", "ended", "expired", "removed", "replaced", "abandoned", "pending"];

for (const mode of ["none", "memory"]) {
  const stored = mode === "memory";
  describe(`store: ${mode}`, () => {
    /** @type {Clerk} */
    let clerk;
    /** @type {App} */
    let app;
    /** @type {Session} */
    let ada;

    before(async () => {
      clerk = await clerkForTests();
      app = await startApp(clerk, { CLI_AUTH_STORE: stored ? "memory" : undefined });
      ada = await signIn(app);
    });
    after(async () => {
      await app?.stop();
      await clerk?.close();
    });

    /** @type {(response: Response, why: string) => Promise<void>} */
    const refusedGrant = (response, why) => refused(response, 400, "invalid_grant", why);
    const sealed = (changes = {}) => ({
      jti: "forged_1",
      family: `family_${Math.random()}`.replace(".", ""),
      generation: 1,
      iat: now(),
      exp: now() + 60,
      iss: app.origin,
      aud: clerk.issuer,
      sid: ada.session,
      sub: ada.user,
      org: ada.organization,
      ...changes,
    });
    const forgedCode = async (
      /** @type {object} */ changes,
      /** @type {Parameters<typeof forge>[3]} */ options = {},
    ) => {
      const { params, verifier } = asking();
      const { code } = await approved(app, ada);
      const claims = {
        ...sealed(),
        jti: `forged_${Math.random()}`.replace(".", ""),
        challenge: params.code_challenge,
        port,
      };
      const forged = await forge("code", code, without({ ...claims, ...changes }), options);
      return { code: forged, verifier, redirect_uri: params.redirect_uri };
    };
    const forgedRefresh = async (
      /** @type {object} */ changes,
      /** @type {Parameters<typeof forge>[3]} */ options = {},
    ) => {
      const { refresh_token } = await signedInTokens(app, ada);
      const claims = { ...sealed(), jti: `forged_${Math.random()}`.replace(".", "") };
      return forge("refresh", refresh_token, without({ ...claims, ...changes }), options);
    };

    test("the metadata says which it is", async () => {
      const metadata = await (await fetch(`${app.origin}/.well-known/oauth-authorization-server`)).json();
      assert.deepEqual(metadata, {
        issuer: app.origin,
        authorization_endpoint: `${app.origin}/cli-auth`,
        token_endpoint: `${app.origin}/api/cli-auth/token`,
        revocation_endpoint: `${app.origin}/api/cli-auth/revoke`,
        jwks_uri: `${clerk.issuer}/.well-known/jwks.json`,
        response_types_supported: ["code"],
        response_modes_supported: ["query"],
        grant_types_supported: ["authorization_code", "refresh_token"],
        token_endpoint_auth_methods_supported: ["none"],
        revocation_endpoint_auth_methods_supported: ["none"],
        code_challenge_methods_supported: ["S256"],
        authorization_response_iss_parameter_supported: true,
        prompt_values_supported: ["consent"],
        clerk_companion: { version: 1, page_version: pageVersion, clerk_issuer: clerk.issuer, store: stored },
      });
    });

    test("a code gives tokens, and so does one refresh token after another", async () => {
      const first = await tokens(await redeem(app, await approved(app, ada)));
      const claims = claimsOf(first.access_token);
      assert.deepEqual([claims.sub, claims.sid, claims.o.id], [ada.user, ada.session, ada.organization]);
      assert.ok(first.expires_in > 590 && first.expires_in <= 600, String(first.expires_in));
      assert.equal(first.email, "ada@acme.dev");
      let last = first;
      for (let round = 0; round < 3; round++) {
        const next = await tokens(await refresh(app, last.refresh_token));
        assert.notEqual(next.refresh_token, last.refresh_token);
        assert.equal(claimsOf(next.access_token).sub, ada.user);
        last = next;
      }
    });

    test("the personal account is a grant of its own", async () => {
      const bob = await signIn(app, { user: "bob@acme.dev", organization: "" });
      const { access_token, refresh_token, email } = await signedInTokens(app, bob);
      assert.equal(email, "bob@acme.dev");
      assert.equal(claimsOf(access_token).o, undefined);
      await tokens(await refresh(app, refresh_token));
    });

    // ---- the request ----

    /** @type {[change: Changes, status: number, error: string, why: string][]} */
    const wrongCodeForms = [
      [{ code: undefined }, 400, "invalid_request", "no code"],
      [{ code: "" }, 400, "invalid_request", "an empty code"],
      [{ code_verifier: undefined }, 400, "invalid_request", "no verifier: a stolen code alone"],
      [{ code_verifier: "v".repeat(42) }, 400, "invalid_request", "a short verifier"],
      [{ code_verifier: "v".repeat(129) }, 400, "invalid_request", "a long verifier"],
      [{ code_verifier: `${"v".repeat(43)}\n` }, 400, "invalid_request", "a line feed in the verifier"],
      [{ code_verifier: `${"v".repeat(42)}+` }, 400, "invalid_request", "a character that verifiers have not"],
      [{ code_verifier: "v".repeat(43) }, 400, "invalid_grant", "another verifier"],
      [{ redirect_uri: undefined }, 400, "invalid_request", "no redirect"],
      [{ redirect_uri: "http://localhost:49152/callback" }, 400, "invalid_request", "a redirect of another form"],
      [{ redirect_uri: "http://127.0.0.1:49153/callback" }, 400, "invalid_grant", "another port than was approved"],
      [{ grant_type: undefined }, 400, "invalid_request", "no grant type"],
      [{ grant_type: "Authorization_Code" }, 400, "unsupported_grant_type", "another spelling"],
      [{ grant_type: "password" }, 400, "unsupported_grant_type", "a password"],
      [{ grant_type: "client_credentials" }, 400, "unsupported_grant_type", "a client by itself"],
      [{ client_id: undefined }, 401, "invalid_client", "no client"],
      [{ client_id: "another" }, 401, "invalid_client", "another client"],
      [{ client_id: "clerk-credential-helper\0" }, 401, "invalid_client", "NUL at the end"],
    ];
    for (const [change, status, error, why] of wrongCodeForms) {
      test(`a code is not redeemed: ${why}; and it is still good for the one who has the verifier`, async () => {
        const approval = await approved(app, ada);
        await refused(await redeem(app, approval, change), status, error, why);
        await tokens(await redeem(app, approval));
      });
    }

    test("the challenge is no verifier, and neither is that of another sign-in", async () => {
      const [first, second] = [await approved(app, ada), await approved(app, ada)];
      await refusedGrant(await redeem(app, first, { code_verifier: second.verifier }), "of another sign-in");
      const { params, verifier } = asking();
      assert.notEqual(params.code_challenge, verifier);
      await refusedGrant(await redeem(app, first, { code_verifier: params.code_challenge }), "a challenge");
    });

    test("each parameter once, whichever of the two would be read", async () => {
      const approval = await approved(app, ada);
      const form = codeForm(approval);
      for (const [name, value] of [...Object.entries(form), ["unknown", "1"]]) {
        for (const second of [value, "", "x"]) {
          const body = [...Object.entries({ unknown: "1", ...form }), [name, second]];
          await refused(await post(app, "/api/cli-auth/token", body), 400, "invalid_request", name);
        }
      }
      await tokens(await redeem(app, approval));
    });

    test("only a form, and not a large one", async () => {
      const approval = await approved(app, ada);
      const form = codeForm(approval);
      const types = [
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=x",
        "",
        "application/x-www-form-urlencodedx",
      ];
      for (const type of types) {
        const answer = await post(app, "/api/cli-auth/token", form, { "content-type": type });
        await refused(answer, 415, "invalid_request", type);
      }
      await refused(
        await post(app, "/api/cli-auth/token", JSON.stringify(form), { "content-type": "application/json" }),
        415,
        "invalid_request",
        "JSON",
      );
      for (const path of ["token", "revoke"]) {
        for (const size of [16 * 1024 + 1, 1 << 20]) {
          const answer = await post(app, `/api/cli-auth/${path}`, `${new URLSearchParams(form)}&x=${"x".repeat(size)}`);
          await refused(answer, 413, "invalid_request", `${path} ${size}`);
        }
      }
      await tokens(await redeem(app, approval));
    });

    test("a body without a length is measured as it comes", async () => {
      const piece = new TextEncoder().encode("x".repeat(4096));
      let left = 256;
      const body = new ReadableStream({
        pull: (controller) => (left-- > 0 ? controller.enqueue(piece) : controller.close()),
      });
      const headers = { "content-type": "application/x-www-form-urlencoded" };
      /** @type {RequestInit & { duplex: "half" }} */
      const request = { method: "POST", headers, body, duplex: "half" };
      const answer = await fetch(`${app.origin}/api/cli-auth/token`, request);
      await refused(answer, 413, "invalid_request", "a megabyte in pieces");
    });

    test("other methods are refused, and told which one is right", async () => {
      for (const [path, allow, methods] of [
        ["/api/cli-auth/token", "POST", ["GET", "HEAD", "PUT", "PATCH", "DELETE"]],
        ["/api/cli-auth/revoke", "POST", ["GET", "HEAD", "PUT", "PATCH", "DELETE"]],
        ["/.well-known/oauth-authorization-server", "GET, HEAD", ["POST", "PUT", "PATCH", "DELETE"]],
        ["/.well-known/clerk-credential-helper.json", "GET, HEAD", ["POST", "PUT", "PATCH", "DELETE"]],
      ]) {
        for (const method of methods) {
          const answer = await fetch(app.origin + path, { method });
          assert.equal(answer.status, 405, `${method} ${path}`);
          assert.equal(answer.headers.get("allow"), allow, `${method} ${path}`);
        }
      }
    });

    test("cookies count for nothing here, and no other site may read an answer", async () => {
      const cookie = { cookie: ada.cookie, origin: "https://evil.com" };
      for (const form of [
        { ...client, grant_type: "authorization_code" },
        { ...client, grant_type: "refresh_token" },
        { ...client, grant_type: "session" },
      ]) {
        const answer = await post(app, "/api/cli-auth/token", form, cookie);
        assert.equal(answer.status, 400);
        assert.equal(answer.headers.get("access-control-allow-origin"), null);
      }
      const preflight = await fetch(`${app.origin}/api/cli-auth/token`, {
        method: "OPTIONS",
        headers: { origin: "https://evil.com", "access-control-request-method": "POST" },
      });
      assert.equal(preflight.headers.get("access-control-allow-origin"), null);
    });

    // ---- the sealed values ----

    test("a forged value with the right secret and the right contents is taken: the rows below fail for their own reason", async () => {
      await tokens(await redeem(app, await forgedCode({})));
      await tokens(await refresh(app, await forgedRefresh({})));
    });

    const wrongClaims = [
      [{ iss: "https://other.acme.dev" }, "sealed by another app"],
      [{ iss: undefined }, "without an issuer"],
      [{ aud: "https://clerk.other.dev" }, "for another instance"],
      [{ aud: undefined }, "for none"],
      [{ exp: () => now() - 1 }, "over for a second"],
      [{ exp: undefined }, "without an end"],
      [{ exp: "never" }, "an end that is no number"],
      [{ iat: undefined }, "without a beginning"],
      [{ iat: () => now() + 3600 }, "from the future"],
      [{ nbf: () => now() + 3600 }, "not yet"],
      [{ jti: undefined }, "without an id: it could not be remembered"],
      [{ family: undefined }, "without a family: it could not be revoked"],
      [{ generation: undefined }, "without a generation: it could not be told from the one before it"],
      [{ generation: "1" }, "a generation that is text"],
      [{ generation: -1 }, "a generation before the code's"],
      [{ sid: undefined }, "without a session"],
      [{ sid: 5 }, "a session that is a number"],
      [{ sid: "../users/user_1" }, "a session that is a path"],
      [{ sub: "user_2somebodyelse" }, "another person than the session's"],
      [{ sub: undefined }, "without a person"],
      [{ org: "org_2lab00000000000000000000000" }, "another organisation than the session's"],
      [{ org: "" }, "the personal account, while the session is in an organisation"],
      [{ org: undefined }, "without a word about the organisation"],
      [{ org: null }, "null for the organisation"],
    ];
    for (const [change, why] of wrongClaims) {
      test(`a sealed value is refused: ${why}`, async () => {
        const changes = Object.fromEntries(
          Object.entries(change).map(([name, value]) => [name, typeof value === "function" ? value() : value]),
        );
        await refusedGrant(await redeem(app, await forgedCode(changes)), "code");
        await refusedGrant(await refresh(app, await forgedRefresh(changes)), "refresh token");
      });
    }

    /** @type {[change: object, why: string][]} */
    const wrongBindings = [
      [{ challenge: undefined }, "without a challenge"],
      [{ challenge: "" }, "an empty challenge"],
      [{ challenge: 5 }, "a challenge that is a number"],
      [{ port: undefined }, "without a port"],
      [{ port: "49152" }, "a port that is text"],
    ];
    for (const [change, why] of wrongBindings) {
      test(`a code is refused: ${why}`, async () => {
        await refusedGrant(await redeem(app, await forgedCode(change)), why);
      });
    }

    test("a value that is sealed another way", async () => {
      /** @type {[options: Parameters<typeof forge>[3], why: string][]} */
      const ways = [
        [{ key: `${secret}x` }, "with another secret"],
        [{ header: { kid: "unknown" } }, "naming a secret that is not there"],
        [{ header: { kid: undefined } }, "naming none"],
      ];
      for (const [options, why] of ways) {
        await refusedGrant(await redeem(app, await forgedCode({}, options)), why);
        await refusedGrant(await refresh(app, await forgedRefresh({}, options)), why);
      }
    });

    test("a code is no refresh token, a refresh token no code, and a Clerk token neither", async () => {
      const approval = await approved(app, ada);
      await refusedGrant(await refresh(app, approval.code), "a code as a refresh token");
      const { access_token, refresh_token } = await tokens(await redeem(app, approval));
      for (const code of [refresh_token, access_token, ada.cookies.__session]) {
        await refusedGrant(await redeem(app, { ...approval, code }), "not a code");
      }
      for (const token of [access_token, ada.cookies.__session]) {
        await refusedGrant(await refresh(app, token), "not a refresh token");
      }
    });

    test("no part of a sealed value can be changed, left out or added to", async () => {
      const approval = await approved(app, ada);
      const { refresh_token } = await signedInTokens(app, ada);
      for (const [kind, value] of [
        ["code", approval.code],
        ["refresh", refresh_token],
      ]) {
        const send = (/** @type {string} */ token) =>
          kind === "code" ? redeem(app, { ...approval, code: token }) : refresh(app, token);
        const parts = value.split(".");
        assert.equal(parts.length, 5);
        for (let at = 0; at < 5; at++) {
          const replaced = (/** @type {string} */ text) =>
            [...parts.slice(0, at), text, ...parts.slice(at + 1)].join(".");
          const part = parts[at];
          await refusedGrant(await send(replaced(flip(part))), `${kind}, part ${at} changed`);
          await refusedGrant(await send(replaced(`${part}AAAA`)), `${kind}, part ${at} longer`);
          if (part) await refusedGrant(await send(replaced("")), `${kind}, part ${at} empty`);
        }
        const header = { alg: "none", enc: "A256GCM" };
        const unsealed = Buffer.from(JSON.stringify(header)).toString("base64url");
        for (const wrong of [
          parts.slice(0, 4).join("."),
          `${value}.`,
          `${value}\n`,
          ` ${value}`,
          `${value}=`,
          [unsealed, ...parts.slice(1)].join("."),
          `${unsealed}.${Buffer.from(JSON.stringify(sealed())).toString("base64url")}.`,
          "x",
          "\r\nset-cookie: x=1",
          "\0",
          "x".repeat(4097),
        ]) {
          await refusedGrant(await send(wrong), `${kind}: ${JSON.stringify(wrong.slice(-20))}`);
        }
      }
      await tokens(await redeem(app, approval));
      await tokens(await refresh(app, refresh_token));
    });

    // ---- the session ----

    test("a session that is not active gives nothing, and everything again if it is", async () => {
      for (const status of statuses) {
        const session = await signIn(app);
        const { refresh_token } = await signedInTokens(app, session);
        const approval = await approved(app, session);
        await clerk.control("/session", { session: session.session, status });
        await refusedGrant(await refresh(app, refresh_token), status);
        await refusedGrant(await redeem(app, approval), status);
        await clerk.control("/session", { session: session.session, status: "active" });
        await tokens(await refresh(app, refresh_token));
        await tokens(await redeem(app, approval));
      }
    });

    test("a refresh token of long ago", async () => {
      const first = await signedInTokens(app, ada);
      let last = await tokens(await refresh(app, first.refresh_token));
      const old = last.refresh_token;
      for (let times = 0; times < 20; times++) last = await tokens(await refresh(app, last.refresh_token));
      if (!stored) {
        await tokens(await refresh(app, old));
        return;
      }
      await refusedGrant(await refresh(app, old), "it was used 20 generations ago");
      await refusedGrant(await refresh(app, last.refresh_token), "and everything that came of it is over");
    });

    test("a session that Clerk does not know", async () => {
      await refusedGrant(await refresh(app, await forgedRefresh({ sid: "sess_unknown" })), "unknown");
    });

    test("the organisation was switched in the web app: the grant is of the other one", async () => {
      const session = await signIn(app);
      const { refresh_token } = await signedInTokens(app, session);
      const approval = await approved(app, session);
      const minted = async () => {
        const log = await clerk.log();
        return log.filter(({ path }) => path === `/v1/sessions/${session.session}/tokens`).length;
      };
      const before = await minted();
      for (const id of [clerk.organizations.Lab, ""]) {
        await clerk.control("/organization", { session: session.session, id });
        await refusedGrant(await refresh(app, refresh_token), id);
        await refusedGrant(await redeem(app, approval), id);
      }
      assert.equal(await minted(), before, "no token was even made");
      await clerk.control("/organization", { session: session.session, id: clerk.organizations.Acme });
      await tokens(await refresh(app, refresh_token));
      await tokens(await redeem(app, approval));
    });

    test("what is sealed: who, for whom, bound to what, and for how long", async () => {
      const approval = await approved(app, ada);
      const code = await unseal("code", approval.code);
      const of = { iss: app.origin, aud: clerk.issuer, sid: ada.session, sub: ada.user, org: ada.organization };
      const challenge = createHash("sha256").update(approval.verifier).digest("base64url");
      const { jti, family, iat, exp } = code;
      assert.deepEqual(code, { ...of, jti, family, generation: 0, iat, exp, challenge, port, machine: "" });
      assert.equal(exp - iat, 60);
      assert.ok(Math.abs(iat - now()) < 10);

      const first = await tokens(await redeem(app, approval));
      const second = await tokens(await refresh(app, first.refresh_token));
      const sealedTokens = [
        await unseal("refresh", first.refresh_token),
        await unseal("refresh", second.refresh_token),
      ];
      for (const [at, token] of sealedTokens.entries()) {
        assert.deepEqual(token, { ...of, jti: token.jti, family, generation: at + 1, iat: token.iat, exp: token.exp });
        assert.ok(token.exp - token.iat <= 30 * 24 * 3600, "thirty days at most");
      }
      assert.equal(new Set([jti, ...sealedTokens.map((token) => token.jti)]).size, 3, "each has an id of its own");
    });

    // ---- Clerk does not answer ----

    const session = (path = "") => `/v1/sessions/${ada.session}${path}`;
    /** @type {[path: () => string, method: string, what: string][]} */
    const faults = [
      [() => session(), "GET", "the session"],
      [() => session("/tokens"), "POST", "the new token"],
    ];
    for (const [path, method, what] of faults) {
      for (const status of [500, 502, 429, 401, 403, "drop"]) {
        test(`Clerk answers ${status} about ${what}: 503, and what was sent is as good as before`, async () => {
          const approval = await approved(app, ada);
          const { refresh_token } = await signedInTokens(app, ada);
          for (const send of [() => redeem(app, approval), () => refresh(app, refresh_token)]) {
            const headers = status === 429 ? { "retry-after": "17" } : {};
            await clerk.control("/fault", { path: path(), method, status, headers });
            const answer = await send();
            assert.equal(answer.headers.get("retry-after"), status === 429 ? "17" : "5");
            await refused(answer, 503, "temporarily_unavailable", what);
            await tokens(await send());
          }
        });
      }
    }

    test("Clerk says nothing at all: 503 in time", async () => {
      const { refresh_token } = await signedInTokens(app, ada);
      await clerk.control("/fault", { path: session(), method: "GET", status: "hang" });
      const began = Date.now();
      await refused(await refresh(app, refresh_token), 503, "temporarily_unavailable", "silence");
      assert.ok(Date.now() - began < 25_000, "before the helper gives up");
      await tokens(await refresh(app, refresh_token));
    });

    test("the address cannot be asked: the tokens come without it", async () => {
      const approval = await approved(app, ada);
      await clerk.control("/fault", { path: `/v1/users/${ada.user}`, status: 500 });
      assert.equal((await tokens(await redeem(app, approval))).email, undefined);
    });

    test("a refresh asks Clerk for the session and for a token, and for no more", async () => {
      const { refresh_token, email } = await signedInTokens(app, ada);
      assert.equal(email, "ada@acme.dev");
      const before = (await clerk.log()).length;
      assert.equal((await tokens(await refresh(app, refresh_token))).email, undefined);
      const since = (await clerk.log()).slice(before).filter(({ server }) => server === "backend");
      const asked = since.map(({ method, path }) => `${method} ${path}`);
      assert.deepEqual(asked, [`GET ${session()}`, `POST ${session("/tokens")}`]);
    });

    // ---- once or more than once ----

    test(
      stored
        ? "a code works once; a second use ends what came of it"
        : "a code works for 60 s, for who has the verifier",
      async () => {
        const approval = await approved(app, ada);
        const first = await tokens(await redeem(app, approval));
        const second = await redeem(app, approval);
        if (!stored) {
          await tokens(second);
          await tokens(await refresh(app, first.refresh_token));
          return;
        }
        await refusedGrant(second, "replay");
        await refusedGrant(await refresh(app, first.refresh_token), "what the first use produced");
        await refusedGrant(await redeem(app, approval), "a third time");
      },
    );

    test(
      stored
        ? "a refresh token works once; a second use ends the family"
        : "a refresh token works as long as its session",
      async () => {
        const { refresh_token: first } = await signedInTokens(app, ada);
        const { refresh_token: second } = await tokens(await refresh(app, first));
        const { refresh_token: third } = await tokens(await refresh(app, second));
        const reuse = await refresh(app, first);
        if (!stored) {
          await tokens(reuse);
          await tokens(await refresh(app, third));
          return;
        }
        await refusedGrant(reuse, "reuse");
        await refusedGrant(await refresh(app, third), "the newest of the family");
      },
    );

    test("another sign-in of the same person is another family", async () => {
      const approval = await approved(app, ada);
      const other = await signedInTokens(app, ada);
      await tokens(await redeem(app, approval));
      await redeem(app, approval).then((response) => response.arrayBuffer());
      await tokens(await refresh(app, other.refresh_token));
    });

    test(
      stored
        ? "of ten at the same moment one gets tokens, and the family ends"
        : "of ten at the same moment all get tokens",
      async () => {
        const approval = await approved(app, ada);
        const answers = await Promise.all(Array.from({ length: 10 }, () => redeem(app, approval)));
        const good = answers.filter(({ status }) => status === 200);
        assert.equal(good.length, stored ? 1 : 10);
        const { refresh_token } = await tokens(good[0]);
        const next = await refresh(app, refresh_token);
        if (stored) await refusedGrant(next, "the family");
        else await tokens(next);
      },
    );

    test(stored ? "revoked is revoked" : "revoking forgets nothing without a store", async () => {
      const { refresh_token: first } = await signedInTokens(app, ada);
      const { refresh_token: second } = await tokens(await refresh(app, first));
      assert.equal((await revoke(app, first)).status, 200, "an old one of the family stands for all of it");
      const after = await refresh(app, second);
      if (stored) await refusedGrant(after, "revoked");
      else await tokens(after);

      const approval = await approved(app, ada);
      assert.equal((await revoke(app, approval.code)).status, 200);
      const redeemed = await redeem(app, approval);
      if (stored) await refusedGrant(redeemed, "a code that was revoked");
      else await tokens(redeemed);
    });

    test("revoking: 200 for what is not ours or over, an error for a wrong request", async () => {
      const { access_token } = await signedInTokens(app, ada);
      const over = await forgedRefresh({ exp: now() - 1 });
      for (const token of ["x", access_token, over, "eyJ.eyJ.x", "\0", "x".repeat(8000)]) {
        const answer = await revoke(app, token);
        assert.equal(answer.status, 200);
        assert.equal(answer.headers.get("cache-control"), "no-store");
      }
      const path = "/api/cli-auth/revoke";
      await refused(await post(app, path, client), 400, "invalid_request", "no token");
      await refused(await post(app, path, { token: "x" }), 401, "invalid_client", "no client");
      await refused(
        await post(app, path, [["token", "x"], ["token", "y"], ...Object.entries(client)]),
        400,
        "invalid_request",
        "two",
      );
      await refused(
        await post(app, path, { ...client, token: "x" }, { "content-type": "text/plain" }),
        415,
        "invalid_request",
        "type",
      );
      const hinted = await post(app, path, { ...client, token: "x", token_type_hint: "access_token" });
      assert.equal(hinted.status, 200, "a hint is only a hint");
    });

    test("the log holds no secret", async () => {
      const { access_token, refresh_token } = await signedInTokens(app, ada);
      await refresh(app, refresh_token).then((response) => response.arrayBuffer());
      const log = app.log();
      for (const text of [secret, clerk.secretKey, access_token, refresh_token, ada.session]) {
        assert.ok(!log.includes(text));
      }
      assert.doesNotMatch(log, /eyJ[A-Za-z0-9_-]{10}/);
    });
  });
}

/** @param {object} claims */
function without(claims) {
  return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
}

/**
 * Changes a letter in the middle, where every bit counts.
 * @param {string} part
 */
function flip(part) {
  if (part === "") return "AAAA";
  const at = part.length >> 1;
  return part.slice(0, at) + (part[at] === "A" ? "B" : "A") + part.slice(at + 1);
}
