// Attacks on the exchange of a CI job's token (RFC 8693): by a stranger who has a genuine token of a public CI for a job
// of their own, by the author of a pull request, by who has caught a job's token, and by who makes tokens up. Each row
// runs without a store and with one.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { githubJob, gitlabJob, newKey, signJwt, startCiIssuer } from "../ci-issuer.mjs";
import { listen } from "../port.mjs";
import { claimsOf, clerkForTests, client, given, post, refused, signedInTokens, signIn, startApp } from "./app.mjs";

/** @import { TestContext } from "node:test" */
/** @import { CiIssuer, Key, Signing } from "../ci-issuer.mjs" */
/** @import { App, Changes, Clerk } from "./app.mjs" */

const grant = "urn:ietf:params:oauth:grant-type:token-exchange";
const type = (/** @type {string} */ name) => `urn:ietf:params:oauth:token-type:${name}`;
const now = () => Math.floor(Date.now() / 1000);
const organization = "org_2acme0000000000000000000000";

/**
 * Issuers that do not show their keys as they must: why nothing they sign is taken, and what is changed.
 * @type {[why: string, change: CiIssuer["change"] | ((issuer: CiIssuer, other: string) => CiIssuer["change"])][]}
 */
const brokenIssuers = [
  ["discovery leads elsewhere", { discovery: (r) => r.writeHead(302, { location: "/other" }).end() }],
  ["discovery leads to itself", { discovery: (r) => r.writeHead(308, { location: "" }).end() }],
  ["the keys lead elsewhere", { jwks: (r) => r.writeHead(307, { location: "/other" }).end() }],
  [
    "discovery names another issuer",
    (issuer) => ({ discovery: { issuer: "https://x", jwks_uri: `${issuer.url}/jwks` } }),
  ],
  ["discovery names it with a slash", (issuer) => withDiscovery(issuer, { issuer: `${issuer.url}/` })],
  ["discovery names no issuer", (issuer) => withDiscovery(issuer, { issuer: undefined })],
  ["no jwks_uri", (issuer) => withDiscovery(issuer, { jwks_uri: undefined })],
  ["jwks_uri is a list", (issuer) => withDiscovery(issuer, { jwks_uri: [`${issuer.url}/jwks`] })],
  ["jwks_uri is another origin's", (issuer, other) => withDiscovery(issuer, { jwks_uri: `${other}/jwks` })],
  ["jwks_uri is a look-alike", (issuer) => withDiscovery(issuer, { jwks_uri: `${issuer.url}.evil.com/jwks` })],
  ["jwks_uri has a user name", (issuer) => withDiscovery(issuer, { jwks_uri: userIn(`${issuer.url}/jwks`) })],
  ["jwks_uri is a file", (issuer) => withDiscovery(issuer, { jwks_uri: "file:///etc/passwd" })],
  ["jwks_uri is data", (issuer) => withDiscovery(issuer, { jwks_uri: 'data:application/json,{"keys":[]}' })],
  ["discovery is far too large", { discovery: (r) => r.end(" ".repeat(1 << 20)) }],
  ["the keys are far too large", { jwks: (r) => r.end(" ".repeat(1 << 20)) }],
  ["discovery is no JSON", { discovery: "<html>" }],
  ["discovery is null", { discovery: "null" }],
  ["discovery is not there", { discovery: (r) => r.writeHead(404).end("{}") }],
  ["a fault", { discovery: (r) => r.writeHead(500).end("{}") }],
  ["a broken connection", { discovery: (r) => r.destroy() }],
  ["silence", { discovery: () => {} }],
  ["keys without a list", { jwks: { keys: {} } }],
];

/**
 * Issuers that show keys, of which none is good for the token that was signed with it.
 * @type {[why: string, change: (keys: Key[]) => unknown[]][]}
 */
const brokenKeys = [
  ["no keys at all", () => []],
  ["a key for encryption", ([rsa]) => [{ ...rsa.jwk, use: "enc" }]],
  ["a key for another algorithm", ([rsa]) => [{ ...rsa.jwk, alg: "PS256" }]],
  ["a key that may not verify", ([rsa]) => [{ ...rsa.jwk, key_ops: ["encrypt"] }]],
  ["a key without an id", ([rsa]) => [{ ...rsa.jwk, kid: undefined }]],
  ["two keys of one id", ([rsa, , pss]) => [rsa.jwk, { ...pss.jwk, alg: "RS256", kid: rsa.kid }]],
  ["a secret in place of a key", ([rsa]) => [{ kty: "oct", k: "AAAA", kid: rsa.kid }]],
  ["numbers that are no key", ([rsa]) => [{ ...rsa.jwk, n: "AA" }]],
  ["null in place of a key", () => [null, "x", 5]],
];

/** @type {(issuer: CiIssuer, change: object) => CiIssuer["change"]} */
const withDiscovery = (issuer, change) => ({
  discovery: { issuer: issuer.url, jwks_uri: `${issuer.url}/jwks`, ...change },
});
const userIn = (/** @type {string} */ address) => address.replace("://", "://u:p@");

for (const mode of ["none", "memory"]) {
  const stored = mode === "memory";
  describe(`store: ${mode}`, () => {
    /** @type {Clerk} */
    let clerk;
    /** @type {App} */
    let app;
    /** @type {CiIssuer} */
    let github;
    /** @type {CiIssuer} */
    let gitlab;
    /** @type {[id: string, secret: string][]} */
    let machines;
    /** @type {CiIssuer[]} */
    const issuers = [];
    /** @type {Record<string, CiIssuer>} */
    const broken = {};
    /** @type {string[]} */
    const sent = [];
    let rows = 0;

    before(async () => {
      clerk = await clerkForTests();
      /** @type {typeof startCiIssuer} */
      const issuer = async (options) => {
        const one = await startCiIssuer(options);
        issuers.push(one);
        return one;
      };
      github = await issuer();
      gitlab = await issuer({ path: "/group" });
      const elsewhere = await issuer();
      const deploy = { machine: "DEPLOY_KEY", seconds: 900 };
      const ci = { machine: "CI_KEY", seconds: 300 };
      const { repository, repository_id, ref, environment } = githubJob;
      /** @type {object[]} */
      const policy = [
        {
          name: "github-production",
          issuer: github.url,
          claims: { repository, repository_id, ref, environment },
          organization,
          ...deploy,
        },
        {
          name: "github-staging",
          issuer: github.url,
          claims: { sub: { pattern: "repo:acme/*:environment:staging" } },
          ...ci,
        },
        { name: "twice", issuer: github.url, claims: { repository: "acme/twice" }, ...ci },
        { name: "twice-main", issuer: github.url, claims: { repository: "acme/twice", ref }, ...deploy },
        { name: "azure", issuer: github.url, audience: "api://fixed", claims: { rpo_id: "rpo_1" }, ...ci },
        {
          name: "gitlab-tag",
          issuer: gitlab.url,
          claims: { project_path: "acme/shop", ref_type: "tag", ref: { pattern: "v*" }, ref_protected: "true" },
          format: "opaque",
          ...ci,
        },
        {
          name: "gitlab-main",
          issuer: gitlab.url,
          claims: { project_path: "acme/shop", ref_type: "branch", ref: "main", ref_protected: "true" },
          once: false,
          ...ci,
        },
        {
          name: "typed",
          issuer: gitlab.url,
          claims: { project_path: "acme/typed", runner_id: 1, fresh: true, ref_path: "refs/heads/main" },
          ...ci,
        },
      ];
      const named = await issuer({ keys: elsewhere.keys });
      named.change = withDiscovery(named, { jwks_uri: `${elsewhere.url}/jwks` });
      broken["keys at an origin that the policy names"] = named;
      policy.push({ name: "named", issuer: named.url, keyOrigins: [elsewhere.url], claims: { repository }, ...ci });
      for (const [why, change] of brokenIssuers) {
        const one = await issuer({ keys: elsewhere.keys });
        one.change = typeof change === "function" ? change(one, elsewhere.url) : change;
        broken[why] = one;
      }
      for (const [why, change] of brokenKeys) {
        const one = await issuer({ keys: elsewhere.keys });
        one.change = { jwks: { keys: change(one.keys) } };
        broken[why] = one;
      }
      for (const [at, why] of [...brokenIssuers, ...brokenKeys].map(([text]) => text).entries()) {
        policy.push({ name: `broken-${at}`, issuer: broken[why].url, claims: { repository }, ...ci });
      }
      machines = Object.entries(clerk.machines);
      app = await startApp(clerk, {
        CLI_AUTH_STORE: stored ? "memory" : undefined,
        TEST_CI_POLICY: JSON.stringify(policy),
        CI_KEY: machines[0][1],
        DEPLOY_KEY: machines[1][1],
      });
    });
    after(async () => {
      await app?.stop();
      await clerk?.close();
      await Promise.all(issuers.map((one) => one.close()));
    });

    /** @type {(token: string | undefined, changes?: Changes) => Record<string, string>} */
    const exchangeForm = (token, changes = {}) =>
      given({
        ...client,
        grant_type: grant,
        subject_token: token,
        subject_token_type: type("jwt"),
        requested_token_type: type("access_token"),
        ...changes,
      });
    /** @type {(token: string, changes?: Changes) => Promise<Response>} */
    const exchange = (token, changes) => {
      if (token) sent.push(token);
      return post(app, "/api/cli-auth/token", exchangeForm(token, changes));
    };
    /** @typedef {(changes?: object, how?: Signing & { key?: Key | null }) => string} Signs a job's token */
    /** @type {Signs} */
    const githubToken = (changes, how) => github.token(app.origin, githubJob, changes, how);
    /** @type {Signs} */
    const gitlabToken = (changes, how) => gitlab.token(app.origin, gitlabJob, changes, how);

    /**
     * Demands a machine's token, and nothing besides.
     * @param {Response} response
     * @param {string} why
     */
    const granted = async (response, why) => {
      const body = await response.json();
      assert.equal(response.status, 200, `${why}: ${JSON.stringify(body)}`);
      assert.equal(response.headers.get("cache-control"), "no-store");
      const { access_token, expires_in, ...rest } = body;
      assert.deepEqual(rest, { issued_token_type: type("access_token"), token_type: "Bearer" }, why);
      assert.ok(access_token && expires_in > 0 && expires_in <= 3600, why);
      return body;
    };
    const refusedGrant = async (/** @type {Response} */ response, /** @type {string} */ why) => {
      const text = await response.clone().text();
      assert.doesNotMatch(text, /acme|refs|github|gitlab|production|staging|twice/, `${why}: it tells of the policy`);
      await refused(response, 400, "invalid_grant", why);
    };
    /** @typedef {{ status?: number, error?: string, says?: RegExp }} Refusal */

    /**
     * A row of the table: what is sent is refused, and no machine's token is made for it.
     * @param {string} why
     * @param {() => Promise<Response>} send
     * @param {Refusal} [refusal]
     */
    const row = (why, send, { status = 400, error = "invalid_grant", says = /./ } = {}) => {
      rows += 1;
      test(`refused: ${why}`, async () => {
        const before = minted();
        const response = await send();
        assert.match((await response.clone().json()).error_description, says, why);
        if (status === 400 && error === "invalid_grant") await refusedGrant(response, why);
        else await refused(response, status, error, why);
        assert.equal(minted(), before, "a token was made");
      });
    };
    const minted = () => clerk.journal.entries.filter(({ path }) => path === "/v1/m2m_tokens").length;

    // ---- what is granted ----

    test("a GitHub job on its branch, in its environment", async () => {
      const body = await granted(await exchange(githubToken()), "github");
      const { exp, iat, ...claims } = claimsOf(body.access_token);
      assert.equal(claims.sub, machines[1][0], "the machine of its entry");
      assert.equal(claims.iss, clerk.issuer);
      assert.equal(claims.org_id, organization);
      assert.deepEqual(claims.ci, { entry: "github-production", iss: github.url, sub: githubJob.sub });
      assert.equal(exp - iat, 900);
      assert.ok(body.expires_in > 880 && body.expires_in <= 900, String(body.expires_in));
    });

    test("a GitLab job of a protected tag; its token is opaque", async () => {
      const changes = { ref: "v1.2.3", ref_type: "tag", ref_path: "refs/tags/v1.2.3" };
      const { access_token, expires_in } = await granted(await exchange(gitlabToken(changes)), "gitlab");
      assert.match(access_token, /^mt_/);
      assert.ok(expires_in > 280 && expires_in <= 300, String(expires_in));
    });

    /** @typedef {[why: string, token: () => string][]} Tokens */
    /** @type {Tokens} */
    const goodTokens = [
      ["ES256", () => githubToken({}, { key: github.keys[1] })],
      ["PS256", () => githubToken({}, { key: github.keys[2] })],
      ["aud is a list of one", () => githubToken({ aud: [app.origin] })],
      ["no nbf", () => githubToken({ nbf: undefined })],
      ["no jti", () => githubToken({ jti: undefined })],
      ["no sub", () => githubToken({ sub: undefined })],
      ["no typ", () => githubToken({}, { header: { typ: undefined } })],
      ["expired for less than a minute", () => githubToken({ iat: now() - 300, exp: now() - 30 })],
      ["made by a clock that is ahead by half a minute", () => githubToken({ iat: now() + 30, nbf: now() + 30 })],
      ["made almost an hour ago", () => githubToken({ iat: now() - 3500 })],
      ["a pattern", () => githubToken({ sub: "repo:acme/other:environment:staging", environment: "staging" })],
      ["a number and true", () => gitlabToken({ project_path: "acme/typed", fresh: true })],
      ["another event than a pull request", () => githubToken({ event_name: "workflow_dispatch" })],
      ["an audience that its entry names", () => githubToken({ aud: "api://fixed", rpo_id: "rpo_1" })],
    ];
    for (const [why, token] of goodTokens) {
      test(`granted: ${why}`, async () => {
        await granted(await exchange(token()), why);
      });
    }

    test("granted: as an id_token, without a requested type, and with keys at an origin that the policy names", async () => {
      await granted(await exchange(githubToken(), { subject_token_type: type("id_token") }), "id_token");
      await granted(await exchange(githubToken(), { requested_token_type: undefined }), "no requested type");
      const named = broken["keys at an origin that the policy names"];
      await granted(await exchange(named.token(app.origin, githubJob)), "keyOrigins");
    });

    test("the metadata names the grant", async () => {
      const metadata = await (await fetch(`${app.origin}/.well-known/oauth-authorization-server`)).json();
      assert.deepEqual(metadata.grant_types_supported, ["authorization_code", "refresh_token", grant]);
    });

    // ---- whose job it is ----

    /** @type {[changes: object, why: string][]} */
    const wrongJobs = [
      [{ repository: "mallory/shop", repository_id: "666", repository_owner: "mallory" }, "another repository"],
      [{ repository: "acme/shop2" }, "another repository whose name begins so"],
      [{ repository: "ACME/shop" }, "the name in other letters"],
      [{ repository: "acme/shop\n" }, "a line feed after the name"],
      [{ repository: " acme/shop" }, "a space before the name"],
      [{ repository: "acme/sh\u043ep" }, "a look-alike letter"],
      [{ repository: "acme/shop\u200b" }, "a letter of no width"],
      [{ repository: "acme/shop\0" }, "NUL after the name"],
      [{ repository: "acme%2Fshop" }, "an encoded name"],
      [{ repository: "acme/../acme/shop" }, "a path that leads there"],
      [{ repository_id: "666" }, "the name taken over by another repository"],
      [{ repository_id: 123456789 }, "a number in place of text"],
      [{ repository: undefined }, "no repository"],
      [{ repository: ["acme/shop"] }, "the repository in a list"],
      [{ repository: ["mallory/shop", "acme/shop"] }, "the repository among others"],
      [{ repository: { name: "acme/shop" } }, "the repository in an object"],
      [{ repository: { pattern: "acme/shop" } }, "an object like one of the policy's"],
      [{ repository: null }, "null"],
      [{ repository: true }, "true"],
      [{ repository: 0 }, "0"],
      [{ repository: "" }, "empty text"],
      [{ ref: "refs/heads/feature" }, "another branch"],
      [{ ref: "refs/heads/main2" }, "a branch whose name begins so"],
      [{ ref: "refs/tags/main" }, "a tag of the branch's name"],
      [{ ref: "main" }, "the branch's short name"],
      [{ ref: "refs/heads/main\nrefs/heads/x" }, "two lines"],
      [{ ref: undefined }, "no branch"],
      [{ environment: "staging" }, "another environment"],
      [{ environment: "Production" }, "the environment in other letters"],
      [{ environment: undefined }, "no environment"],
      [{ event_name: "pull_request", ref: "refs/pull/7/merge", head_ref: "main", base_ref: "main" }, "a pull request"],
      [{ event_name: "pull_request", head_ref: "refs/heads/main" }, "a pull request that has everything else"],
      [{ event_name: "pull_request_target" }, "pull_request_target, which has the ref of the branch itself"],
      [{ event_name: "pull_request_review" }, "a pull request's review"],
      [{ event_name: ["push"] }, "an event in a list"],
      [{ event_name: null }, "no event"],
      [
        { repository: "mallory/shop", repository_id: "666", head_ref: "refs/heads/main", actor: "ada" },
        "a fork's own job",
      ],
      [{ repository: "acme/twice" }, "it fits two entries, of two machines"],
      [{ rpo_id: "rpo_1", repository: "x/y" }, "another entry's claims, whose audience is another"],
      [{ aud: "api://fixed" }, "another entry's audience, whose claims are others"],
    ];
    for (const [changes, why] of wrongJobs) row(why, () => exchange(githubToken(changes)));

    const staging = { environment: "staging" };
    /** @type {[sub: unknown, why: string][]} */
    const wrongSubjects = [
      ["repo:mallory/shop:environment:staging", "another owner"],
      ["repo:acme/:environment:staging", "nothing where the * is"],
      ["repo:acme/a/b:environment:staging", "a / where the * is"],
      ["repo:acme/shop:environment:x:environment:staging", "a : where the * is: an environment's name"],
      ["repo:acme/shop:environment:staging:x", "something after it"],
      ["x:repo:acme/shop:environment:staging", "something before it"],
      ["repo:acme/shop:environment:staging\n", "a line feed after it"],
      ["\nrepo:acme/shop:environment:staging", "a line feed before it"],
      ["x\nrepo:acme/shop:environment:staging\nx", "a line of its own among others"],
      ["repo:acme/a\nb:environment:staging", "a line feed where the * is"],
      ["repo:acme/a b:environment:staging", "a space where the * is"],
      ["repo:acme/sh\u043ep:environment:staging", "a look-alike letter where the * is"],
      ["repo:acme/a\u202eb:environment:staging", "a letter that turns the order round"],
      ["repo:acme/a\0b:environment:staging", "NUL where the * is"],
      ["REPO:acme/shop:environment:staging", "other letters"],
      ["repoxacme/shop:environment:staging", "another sign for the :"],
      [`repo:acme/${"a".repeat(1100)}:environment:staging`, "far too long"],
      [["repo:acme/shop:environment:staging"], "a list"],
      [{ 0: "repo:acme/shop:environment:staging" }, "an object"],
    ];
    for (const [sub, why] of wrongSubjects) {
      row(`a pattern: ${why}`, () => exchange(githubToken({ ...staging, sub })));
    }

    const tag = { ref: "v1", ref_type: "tag" };
    /** @type {[changes: object, why: string][]} */
    const wrongGitlab = [
      [{ ...tag, ref: "v" }, "nothing after the v"],
      [{ ...tag, ref: "v1/x" }, "a / in the tag"],
      [{ ...tag, ref: "xv1" }, "something before the v"],
      [{ ...tag, ref: "v\uff11" }, "a digit of another script"],
      [{ ...tag, ref_type: "branch" }, "a branch of a tag's name"],
      [{ ...tag, ref_protected: "false" }, "a tag that anybody may push"],
      [{ ...tag, ref_protected: true }, "true in place of text"],
      [{ ...tag, ref: ["v1"] }, "the tag in a list"],
      [{ project_path: "mallory/shop" }, "a fork"],
      [{ project_path: "acme/shop/sub" }, "a project below"],
      [{ pipeline_source: "merge_request_event" }, "a merge request"],
      [{ pipeline_source: "external_pull_request_event" }, "a pull request from elsewhere"],
      [{ project_path: "acme/typed", fresh: "true" }, "text in place of true"],
      [{ project_path: "acme/typed", fresh: 1 }, "1 in place of true"],
      [{ project_path: "acme/typed", fresh: true, runner_id: "1" }, "text in place of a number"],
      [{ project_path: "acme/typed", fresh: true, runner_id: [1] }, "a list in place of a number"],
      [githubJob, "the claims of the other CI, signed by this one"],
    ];
    for (const [changes, why] of wrongGitlab) row(`GitLab: ${why}`, () => exchange(gitlabToken(changes)));

    // ---- for whom, and when ----

    /** @type {[aud: unknown, why: string][]} */
    const audiences = [
      [undefined, "no audience"],
      ["", "an empty one"],
      ["https://github.com/acme", "what GitHub puts in by itself"],
      ["https://other.acme.dev", "another app"],
      [() => `${app.origin}/`, "with a slash"],
      [() => app.origin.toUpperCase(), "in capitals"],
      [() => app.origin.replace("http:", "https:"), "https in place of http"],
      [() => app.origin.replace("http://", ""), "without a scheme"],
      [() => `${app.origin}.evil.com`, "that begins so"],
      [() => `${app.origin} `, "a space after it"],
      [() => [app.origin, "https://other.acme.dev"], "for another app as well"],
      [() => [app.origin, app.origin], "twice"],
      [() => [[app.origin]], "a list in a list"],
      [() => ["https://other.acme.dev"], "a list of another"],
      [[], "an empty list"],
      [() => ({ 0: app.origin }), "an object"],
      [5, "a number"],
      [() => app.clerk.issuer, "the Clerk instance"],
    ];
    for (const [aud, why] of audiences) {
      row(`audience: ${why}`, () => exchange(githubToken({ aud: typeof aud === "function" ? aud() : aud })), {
        says: /aud is missing or wrong|aud must be this app's origin/,
      });
    }

    /** @type {[changes: () => object, why: string][]} */
    const times = [
      [() => ({ iat: now() - 600, exp: now() - 90 }), "expired"],
      [() => ({ exp: undefined }), "without an end"],
      [() => ({ exp: "2099-01-01" }), "an end that is text"],
      [() => ({ exp: null }), "an end that is null"],
      [() => ({ exp: (now() + 300) * 1000 }), "an end in milliseconds"],
      [() => ({ exp: now() + 25 * 3600 }), "longer than a day"],
      [() => ({ exp: now() + 10 * 365 * 86400 }), "ten years long"],
      [() => ({ iat: now() + 40, exp: now() + 30 }), "an end before the beginning"],
      [() => ({ iat: now() + 120 }), "from the future"],
      [() => ({ nbf: now() + 120 }), "not yet"],
      [() => ({ nbf: "now" }), "a beginning that is text"],
      [() => ({ iat: undefined }), "nobody knows since when"],
      [() => ({ iat: "0" }), "made at a time that is text"],
      [() => ({ iat: now() - 3700 }), "made more than an hour ago"],
      [() => ({ iat: 0 }), "made in 1970"],
    ];
    for (const [changes, why] of times)
      row(`time: ${why}`, () => exchange(githubToken(changes())), {
        says: /has expired|(?:exp|iat|nbf) is missing or wrong|older than an hour|for a day at most/,
      });
    row("time: an end beyond all numbers", () => {
      const claims = JSON.stringify(claimsOf(githubToken())).replace(/"exp":[0-9]+/, '"exp":1e400');
      return exchange(signJwt(github.keys[0], claims));
    });
    row("time: a beginning before all numbers", () => {
      const claims = JSON.stringify(claimsOf(githubToken())).replace(/"iat":[0-9]+/, '"iat":-1e400');
      return exchange(signJwt(github.keys[0], claims));
    });

    /** @type {[changes: object, why: string][]} */
    const wrongIds = [
      [{ jti: 5 }, "an id that is a number"],
      [{ jti: "" }, "an empty id"],
      [{ jti: ["x"] }, "an id in a list"],
      [{ jti: "x".repeat(2000) }, "an id that is far too long"],
      [{ sub: 5 }, "a subject that is a number"],
      [{ sub: "" }, "an empty subject"],
    ];
    for (const [changes, why] of wrongIds) {
      row(why, () => exchange(githubToken(changes)));
    }

    // ---- who has signed it ----

    const stranger = newKey("RS256");
    const strangerEc = newKey("ES256");
    const pem = (/** @type {Key} */ key) => key.publicKey.export({ type: "spki", format: "pem" });
    /** @type {(header: () => object, key?: () => Key) => () => string} */
    const headers =
      (header, key = () => github.keys[0]) =>
      () =>
        githubToken({}, { key: key(), header: header() });
    /** @type {(...row: Tokens[number]) => Tokens[number]} */
    const forged = (...row) => row;
    /** @type {Tokens} */
    const forgeries = [
      ...["none", "None", "NONE", "nOnE", ""].map((alg) =>
        forged(`alg ${JSON.stringify(alg)}`, () =>
          githubToken({}, { key: null, header: { alg, kid: github.keys[0].kid } }),
        ),
      ),
      ["alg none, with a signature", headers(() => ({ alg: "none" }))],
      ["no alg", headers(() => ({ alg: undefined }))],
      ["alg in a list", headers(() => ({ alg: ["RS256"] }))],
      ...[
        "rs256",
        "RS384",
        "RS512",
        "PS384",
        "ES384",
        "ES256K",
        "EdDSA",
        "RSA-OAEP",
        "dir",
        "toString",
        "__proto__",
      ].map((alg) =>
        forged(
          `alg ${alg}`,
          headers(() => ({ alg })),
        ),
      ),
      ...["HS256", "HS384", "HS512"].map((alg) =>
        forged(`${alg} with the public key as the secret`, () =>
          githubToken({}, { header: { alg }, secret: pem(github.keys[0]) }),
        ),
      ),
      [
        "HS256 with the JWK as the secret",
        () => githubToken({}, { header: { alg: "HS256" }, secret: github.keys[0].jwk.n ?? "" }),
      ],
      ["HS256 with nothing as the secret", () => githubToken({}, { header: { alg: "HS256" }, secret: "" })],
      [
        "RS256 said of an EC key",
        headers(
          () => ({ alg: "RS256" }),
          () => github.keys[1],
        ),
      ],
      ["ES256 said of an RSA key", headers(() => ({ alg: "ES256" }))],
      ["PS256 said of an RS256 key", headers(() => ({ alg: "PS256" }))],
      ["a stranger's key under an unknown id", () => githubToken({}, { key: stranger })],
      [
        "a stranger's key under the issuer's id",
        headers(
          () => ({ kid: github.keys[0].kid }),
          () => stranger,
        ),
      ],
      [
        "a stranger's EC key under the issuer's id",
        headers(
          () => ({ kid: github.keys[1].kid }),
          () => strangerEc,
        ),
      ],
      ["the id of another key of the issuer's", headers(() => ({ kid: github.keys[2].kid }))],
      ["the id of another issuer's key", headers(() => ({ kid: gitlab.keys[0].kid }))],
      ["no key's id", headers(() => ({ kid: undefined }))],
      ["an empty id", headers(() => ({ kid: "" }))],
      ["an id that is a number", headers(() => ({ kid: 5 }))],
      ["an id that is a path", headers(() => ({ kid: "../../jwks" }))],
      ["an id that is an address", headers(() => ({ kid: "https://evil.com/jwks" }))],
      ["an id that is far too long", headers(() => ({ kid: "x".repeat(2000) }))],
      [
        "the key in the token itself",
        headers(
          () => ({ jwk: stranger.jwk, kid: undefined }),
          () => stranger,
        ),
      ],
      [
        "the key in the token, under the issuer's id",
        headers(
          () => ({ jwk: stranger.jwk, kid: github.keys[0].kid }),
          () => stranger,
        ),
      ],
      ["the key in a genuine token", headers(() => ({ jwk: github.keys[0].jwk }))],
      ["the address of the keys in the token", headers(() => ({ jku: "https://evil.com/jwks" }))],
      ["the address of a certificate in the token", headers(() => ({ x5u: "https://evil.com/x" }))],
      ["a certificate in the token", headers(() => ({ x5c: ["AAAA"] }))],
      ["a critical extension", headers(() => ({ crit: ["exp"], exp: 1 }))],
      ["a payload that is not encoded", headers(() => ({ crit: ["b64"], b64: false }))],
      ["an access token's type", headers(() => ({ typ: "at+jwt" }))],
      ["an access token's type in full", headers(() => ({ typ: "application/at+jwt" }))],
      ["a logout token's type", headers(() => ({ typ: "logout+jwt" }))],
      ["a type that is a number", headers(() => ({ typ: 5 }))],
      ["a type that is null", headers(() => ({ typ: null }))],
      [
        "its repository changed after signing",
        () => edited(githubToken({ repository: "mallory/shop" }), (text) => text.replaceAll("mallory", "acme")),
      ],
      [
        "the signature of another token",
        () => [...githubToken().split(".").slice(0, 2), githubToken().split(".")[2]].join("."),
      ],
      [
        "a signature with one letter changed",
        () => githubToken().replace(/\.(.)([^.]*)$/, (_, a, rest) => `.${a === "A" ? "B" : "A"}${rest}`),
      ],
      ["an EC signature of zeros", () => githubToken({}, { key: github.keys[1] }).replace(/[^.]*$/, "A".repeat(86))],
      ["no signature", () => githubToken().replace(/[^.]*$/, "")],
      ["two parts", () => githubToken().replace(/\.[^.]*$/, "")],
      ["five parts", () => `${githubToken()}.x.x`],
      ["padding at the end", () => `${githubToken()}=`],
      ["a line feed at the end", () => `${githubToken()}\n`],
      ["a space before it", () => ` ${githubToken()}`],
      ["Bearer before it", () => `Bearer ${githubToken()}`],
      [
        "the JSON form of a JWS",
        () => JSON.stringify({ payload: "e30", signatures: [{ protected: "e30", signature: "" }] }),
      ],
      ["a payload that is a list", () => signJwt(github.keys[0], [])],
      ["a payload that is text", () => signJwt(github.keys[0], '"x"')],
      ["a payload that is null", () => signJwt(github.keys[0], "null")],
      ["a payload that is no JSON", () => signJwt(github.keys[0], "{")],
      [
        "a payload that names its issuer twice",
        () => signJwt(gitlab.keys[0], JSON.stringify(claimsOf(gitlabToken())).replace(/}$/, `,"iss":"${github.url}"}`)),
      ],
      ["no token at all", () => "x"],
      ["dots", () => ".."],
    ];
    for (const [why, token] of forgeries) row(why, () => exchange(token()));

    /** @type {[iss: () => unknown, why: string, issuer?: () => CiIssuer][]} */
    const issuerNames = [
      [() => `${github.url}/`, "with a slash"],
      [() => gitlab.url.toUpperCase(), "in capitals", () => gitlab],
      [() => gitlab.url.replace("/group", "/Group"), "its path in capitals", () => gitlab],
      [() => gitlab.url.replace("/group", ""), "without its path", () => gitlab],
      [() => `${gitlab.url}/../group`, "by another path", () => gitlab],
      [() => github.url.replace("127.0.0.1", "127.0.0.1."), "a look-alike host"],
      [() => github.url.replace("127.0.0.1", "localhost"), "another name of its host"],
      [() => `${github.url}.evil.com`, "a host that begins so"],
      [() => github.url.replace("http:", "https:"), "https in place of http"],
      [() => github.url.replace("http:", "HTTP:"), "its scheme in capitals"],
      [() => userIn(github.url), "with a user name"],
      [() => `${github.url}?x`, "with a query"],
      [() => `${github.url}#x`, "with a fragment"],
      [() => `${github.url} `, "a space after it"],
      [() => `${github.url}\n`, "a line feed after it"],
      [() => gitlab.url, "the other CI of the policy"],
      [() => app.origin, "this app"],
      [() => clerk.issuer, "the Clerk instance"],
      [() => undefined, "none"],
      [() => [github.url], "a list"],
      [() => ({ 0: github.url }), "an object"],
      [() => "", "empty"],
      [() => "http://169.254.169.254", "an address inside"],
    ];
    for (const [iss, why, issuer = () => github] of issuerNames) {
      row(`issuer: ${why}`, () =>
        exchange(issuer().token(app.origin, { ...githubJob, ...gitlabJob, ...githubJob }, { iss: iss() })),
      );
    }

    for (const [why] of brokenIssuers) {
      row(`keys: ${why}`, () => exchange(broken[why].token(app.origin, githubJob)), {
        status: 503,
        error: "temporarily_unavailable",
      });
    }
    for (const [why] of brokenKeys) row(`keys: ${why}`, () => exchange(broken[why].token(app.origin, githubJob)));

    test("the stranger's server behind a redirect is never asked", () => {
      for (const issuer of issuers) assert.equal(issuer.asked["/other"], undefined);
    });

    test("tokens with unknown keys do not make the app ask the issuer each time", async () => {
      const began = Date.now();
      const before = github.asked["/jwks"];
      for (let times = 0; times < 50; times++) {
        await refusedGrant(await exchange(githubToken({}, { header: { kid: `unknown ${times}` } })), "unknown");
      }
      const allowed = 1 + Math.ceil((Date.now() - began) / 30_000);
      assert.ok(github.asked["/jwks"] - before <= allowed, `asked ${github.asked["/jwks"] - before} times`);
    });

    // ---- what else could be a subject token ----

    row("a Clerk session token, from a browser's cookie", async () => exchange((await signIn(app)).cookies.__session));
    row("an access token of a person's helper", async () =>
      exchange((await signedInTokens(app, await signIn(app))).access_token),
    );
    row("a refresh token", async () => exchange((await signedInTokens(app, await signIn(app))).refresh_token));
    row("a machine's token, made by Clerk", async () => {
      const { token } = await clerk.control("/token", { kind: "m2m", claims: { aud: app.origin, ...githubJob } });
      return exchange(token);
    });
    row("a Clerk token that names the CI as its issuer", async () => {
      const { token } = await clerk.control("/token", {
        kind: "m2m",
        claims: { aud: app.origin, ...githubJob, iss: github.url },
      });
      return exchange(token);
    });
    test("refused: the token that an exchange gave", async () => {
      const { access_token } = await granted(await exchange(githubToken()), "first");
      await refusedGrant(await exchange(access_token), "a machine's token");
    });
    row("a job's token as a refresh token", () =>
      post(app, "/api/cli-auth/token", { ...client, grant_type: "refresh_token", refresh_token: githubToken() }),
    );

    // ---- the request ----

    const bad = { error: "invalid_request" };
    /** @type {[changes: Changes, how: Refusal, why: string][]} */
    const requests = [
      [{ subject_token: undefined }, bad, "no subject token"],
      [{ subject_token: "" }, bad, "an empty subject token"],
      [{ subject_token_type: undefined }, bad, "no type"],
      [{ subject_token_type: type("access_token") }, bad, "an access token, it says"],
      [{ subject_token_type: type("refresh_token") }, bad, "a refresh token, it says"],
      [{ subject_token_type: type("saml2") }, bad, "SAML, it says"],
      [{ subject_token_type: "jwt" }, bad, "a short name of the type"],
      [{ requested_token_type: type("refresh_token") }, bad, "a refresh token is wanted"],
      [{ requested_token_type: type("id_token") }, bad, "an ID token is wanted"],
      [{ requested_token_type: type("jwt") }, bad, "a JWT is wanted"],
      [{ actor_token: "x", actor_token_type: type("jwt") }, bad, "another actor"],
      [{ audience: "https://api.acme.dev" }, { error: "invalid_target" }, "a narrower audience"],
      [{ resource: "https://api.acme.dev" }, { error: "invalid_target" }, "a resource"],
      [{ scope: "read" }, { error: "invalid_scope" }, "a scope"],
      [{ grant_type: grant.toUpperCase() }, { error: "unsupported_grant_type" }, "the grant in capitals"],
      [{ grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer" }, { error: "unsupported_grant_type" }, "RFC 7523"],
      [{ client_id: undefined }, { status: 401, error: "invalid_client" }, "no client"],
      [{ client_id: "another" }, { status: 401, error: "invalid_client" }, "another client"],
    ];
    for (const [changes, how, why] of requests) row(`request: ${why}`, () => exchange(githubToken(), changes), how);
    row("request: a token of 1 MiB", () => exchange("x".repeat(1 << 20)), { status: 413, error: "invalid_request" });
    row("request: a signed token of 1 MiB", () => exchange(githubToken({ more: "x".repeat(1 << 20) })), {
      status: 413,
      error: "invalid_request",
    });
    row(
      "request: two tokens",
      () => post(app, "/api/cli-auth/token", [...Object.entries(exchangeForm("x")), ["subject_token", githubToken()]]),
      bad,
    );
    row(
      "request: two types",
      () =>
        post(app, "/api/cli-auth/token", [
          ...Object.entries(exchangeForm(githubToken())),
          ["subject_token_type", type("jwt")],
        ]),
      bad,
    );
    row(
      "request: JSON",
      () =>
        post(app, "/api/cli-auth/token", JSON.stringify(exchangeForm(githubToken())), {
          "content-type": "application/json",
        }),
      {
        status: 415,
        error: "invalid_request",
      },
    );
    row(
      "request: the token in the Authorization field",
      () => post(app, "/api/cli-auth/token", exchangeForm(undefined), { authorization: `Bearer ${githubToken()}` }),
      bad,
    );

    // ---- once or more than once ----

    /** @type {[why: string, make: () => string, second: (token: string) => string][]} */
    const again = [
      ["its id was used", () => githubToken(), (token) => token],
      ["a token without an id was used", () => githubToken({ jti: undefined }), (token) => token],
      [
        "another token with the same id",
        () => githubToken({ jti: "the same" }),
        () => githubToken({ jti: "the same" }),
      ],
      [
        "without an id, the other signature that ES256 allows",
        () => githubToken({ jti: undefined }, { key: github.keys[1] }),
        (token) => otherSignature(token),
      ],
    ];
    for (const [why, make, second] of again) {
      rows += 1;
      test(
        stored ? `refused the second time: ${why}` : `without a store it works until it expires: ${why}`,
        async () => {
          const token = make();
          await granted(await exchange(token), "first");
          const before = minted();
          const response = await exchange(second(token));
          if (!stored) {
            await granted(response, "second");
            return;
          }
          await refusedGrant(response, why);
          assert.equal(minted(), before, "no token was made for it");
        },
      );
    }

    test("the same id of another issuer is another token", async () => {
      await granted(await exchange(githubToken({ jti: "shared" })), "github");
      const changes = { jti: "shared", ref: "v1", ref_type: "tag" };
      await granted(await exchange(gitlabToken(changes)), "gitlab");
    });

    test("once: false lets a job exchange its token again", async () => {
      const token = gitlabToken();
      for (let times = 0; times < 3; times++) await granted(await exchange(token), String(times));
    });

    test("of several at the same moment one is the first", async () => {
      const token = githubToken();
      const answers = await Promise.all(Array.from({ length: 8 }, () => exchange(token)));
      const good = answers.filter(({ status }) => status === 200).length;
      assert.equal(good, stored ? 1 : 8);
    });

    test("a token that is refused is not used up", async () => {
      const changes = { jti: "kept" };
      await refusedGrant(await exchange(githubToken({ ...changes, ref: "refs/heads/x" })), "another branch");
      await granted(await exchange(githubToken(changes)), "the right one");
    });

    for (const status of [500, 429, 401, 404, 422, "drop"]) {
      test(`Clerk answers ${status}: 503, and the job's token is as good as before`, async () => {
        const token = githubToken();
        const headers = status === 429 ? { "retry-after": "17" } : {};
        await clerk.control("/fault", { path: "/v1/m2m_tokens", method: "POST", status, headers });
        const answer = await exchange(token);
        assert.equal(answer.headers.get("retry-after"), status === 429 ? "17" : "5");
        await refused(answer, 503, "temporarily_unavailable", String(status));
        await granted(await exchange(token), "afterwards");
      });
    }

    // ---- what is left behind ----

    test("the log names entries and claims, and nothing of a token or a key", (t) => {
      const log = app.log();
      assert.match(log, /github-production \(ref\)/);
      assert.match(log, /it fits several entries: twice, twice-main/);
      assert.match(log, /ci\.ts: entry 3 \(twice\): no claim names a branch/, "warned of, once");
      assert.equal(log.match(/entry 3 \(twice\): no claim names/g)?.length, 1);
      assert.ok(sent.length > 200);
      for (const token of sent) {
        for (const part of token.split(".")) if (part.length > 20) assert.ok(!log.includes(part.slice(0, 60)));
      }
      for (const [, secret] of machines) assert.ok(!log.includes(secret));
      for (const value of ["mallory", "refs/heads", "acme/shop", "ada@acme.dev"])
        assert.ok(!log.includes(value), value);
      assert.doesNotMatch(log, /eyJ/);
      t.diagnostic(`${rows} rows refused`);
    });
  });
}

/**
 * A token whose payload is another, with the signature that it had.
 * @param {string} token
 * @param {(payload: string) => string} change
 */
function edited(token, change) {
  const [header, payload, signature] = token.split(".");
  const text = change(Buffer.from(payload, "base64url").toString());
  return [header, Buffer.from(text).toString("base64url"), signature].join(".");
}

/**
 * The second signature of an ECDSA pair: n - s is as good as s.
 * @param {string} token
 */
function otherSignature(token) {
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const parts = token.split(".");
  const signature = Buffer.from(parts[2], "base64url");
  const s = order - BigInt(`0x${signature.subarray(32).toString("hex")}`);
  const second = Buffer.from(s.toString(16).padStart(64, "0"), "hex");
  return [parts[0], parts[1], Buffer.concat([signature.subarray(0, 32), second]).toString("base64url")].join(".");
}

describe("other policies", () => {
  /** @type {Clerk} */
  let clerk;
  /** @type {CiIssuer} */
  let github;

  before(async () => {
    clerk = await clerkForTests();
    github = await startCiIssuer();
  });
  after(async () => {
    await clerk?.close();
    await github?.close();
  });

  const form = (/** @type {string} */ token) => ({
    ...client,
    grant_type: grant,
    subject_token: token,
    subject_token_type: type("jwt"),
  });
  const entry = (changes = {}) => ({
    name: "shop",
    issuer: github.url,
    claims: { repository: "acme/shop", ref: "refs/heads/main" },
    machine: "CI_KEY",
    seconds: 300,
    ...changes,
  });
  /** @type {(t: TestContext, policy: object[] | undefined, settings?: Changes) => Promise<App>} */
  const running = async (t, policy, settings = {}) => {
    const [secret] = Object.values(clerk.machines);
    const app = await startApp(clerk, {
      CI_KEY: secret,
      TEST_CI_POLICY: policy && JSON.stringify(policy),
      ...settings,
    });
    t.after(app.stop);
    return app;
  };

  test("without a policy there is no such grant, and the issuer is not asked", async (t) => {
    const app = await running(t, undefined);
    const answer = await post(app, "/api/cli-auth/token", form(github.token(app.origin, githubJob)));
    await refused(answer, 400, "unsupported_grant_type", "no policy");
    const metadata = await (await fetch(`${app.origin}/.well-known/oauth-authorization-server`)).json();
    assert.deepEqual(metadata.grant_types_supported, ["authorization_code", "refresh_token"]);
    assert.deepEqual(github.asked, {});
  });

  test("a policy that cannot be right: nothing is answered but what is wrong", async (t) => {
    /** @type {[changes: object, words: string][]} */
    const wrong = [
      [{ claims: { repository: { pattern: "*" } } }, 'the claim "repository": the pattern matches everything'],
      [{ claims: { ref: "refs/heads/main" } }, "no claim says whose job it is"],
      [{ issuer: "http://ci.acme.dev" }, "issuer must be https"],
      [{ seconds: 3601 }, "seconds must be a whole number from 60 to 3600"],
      [{ machine: "NOT_SET" }, "the environment variable NOT_SET is not set"],
    ];
    const policy = wrong.map(([changes], at) => entry({ name: `shop-${at}`, ...changes }));
    const app = await running(t, policy);
    for (const response of [
      await post(app, "/api/cli-auth/token", form(github.token(app.origin, githubJob))),
      await post(app, "/api/cli-auth/token", { ...client, grant_type: "refresh_token", refresh_token: "x" }),
      await fetch(`${app.origin}/.well-known/oauth-authorization-server`),
      await fetch(`${app.origin}/cli-auth`, { headers: { accept: "text/html" } }),
    ]) {
      const text = (await response.text()).replaceAll("&#34;", '"').replaceAll('\\"', '"');
      assert.equal(response.status, 500, text);
      for (const [at, [, words]] of wrong.entries()) {
        assert.ok(text.includes(`entry ${at + 1} (shop-${at}): ${words}`), `${words}: ${text}`);
      }
    }
  });

  test("an issuer on this machine is for an app on this machine", async (t) => {
    const app = await running(t, [entry()], { CLI_AUTH_ORIGIN: "https://app.acme.dev" });
    const answer = await post(app, "/api/cli-auth/token", form(github.token("https://app.acme.dev", githubJob)));
    await refused(answer, 500, "server_error", "http issuer");
  });

  test("the key of another instance's machine, and answers of Clerk's that are none", async (t) => {
    const jwt = (/** @type {object} */ claims) =>
      `eyJhbGciOiJSUzI1NiJ9.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.x`;
    const good = { token: jwt({ iss: clerk.issuer }), expiration: Date.now() + 300_000 };
    /** @type {string | object} */
    let answer;
    /** @type {[method?: string, path?: string, authorization?: string, body?: unknown][]} */
    const seen = [];
    const server = createServer((request, response) => {
      let body = "";
      request.on("data", (part) => {
        body += part;
      });
      request.on("end", () => {
        seen.push([request.method, request.url, request.headers.authorization, JSON.parse(body)]);
        response.writeHead(201, { "content-type": "application/json" });
        response.end(typeof answer === "string" ? answer : JSON.stringify(answer));
      });
    });
    const port = await listen(server);
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    const app = await running(t, [entry()], { CLERK_API_URL: `http://127.0.0.1:${port}` });
    const send = () => post(app, "/api/cli-auth/token", form(github.token(app.origin, githubJob)));
    /** @type {[change: string | object, status: number, error: string, why: string][]} */
    const rows = [
      [{ ...good, token: jwt({ iss: "https://clerk.other.dev" }) }, 500, "server_error", "another instance's token"],
      [{ ...good, token: jwt({}) }, 500, "server_error", "nobody's token"],
      [{ ...good, token: "mt_opaque" }, 503, "temporarily_unavailable", "opaque in place of a JWT"],
      [{ ...good, token: "" }, 503, "temporarily_unavailable", "an empty token"],
      [{ ...good, token: 5 }, 503, "temporarily_unavailable", "a number"],
      [{ expiration: good.expiration }, 503, "temporarily_unavailable", "no token"],
      [{ ...good, expiration: null }, 503, "temporarily_unavailable", "a token without an end"],
      [{ ...good, expiration: Date.now() - 1000 }, 503, "temporarily_unavailable", "a token that is over"],
      [{ ...good, expiration: Date.now() + 86_400_000 }, 503, "temporarily_unavailable", "a token of a day"],
      ["<html>", 503, "temporarily_unavailable", "a page"],
    ];
    for (const [change, status, error, why] of rows) {
      answer = change;
      await refused(await send(), status, error, why);
    }
    answer = good;
    const response = await send();
    assert.equal(response.status, 200);
    assert.equal((await response.json()).access_token, good.token);
    const [method, path, authorization, body] = seen.at(-1) ?? [];
    assert.deepEqual(
      [method, path, authorization],
      ["POST", "/v1/m2m_tokens", `Bearer ${Object.values(clerk.machines)[0]}`],
    );
    assert.deepEqual(body, {
      token_format: "jwt",
      seconds_until_expiration: 300,
      claims: { ci: { entry: "shop", iss: github.url, sub: githubJob.sub } },
    });
  });
});
