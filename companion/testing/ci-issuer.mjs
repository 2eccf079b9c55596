// A stand-in for a CI's OIDC issuer, for tests without a network: keys of its own, discovery, a JWK set, and tokens with
// the claims that GitHub and GitLab put into theirs. It shares no code with the companion.
import { createHmac, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { createServer } from "node:http";
import { listen } from "./port.mjs";

/** @typedef {ReturnType<typeof newKey>} Key */
/**
 * @typedef {{ header?: object, secret?: string | Buffer }} Signing members for the header; a secret, to sign with HS256
 */
/**
 * @typedef {string | object | ((response: import("node:http").ServerResponse, usual: object | undefined) => unknown)}
 *   Change
 */
/**
 * @typedef {object} CiIssuer
 * @property {string} url
 * @property {Key[]} keys
 * @property {Record<string, number>} asked how often, by path
 * @property {{ jwks?: Change, discovery?: Change }} change what it answers in place of the usual
 * @property {(audience: unknown, job: object, changes?: object, how?: Signing & { key?: Key | null }) => string} token
 *   a token of a job for the audience; a claim that is undefined is left out
 * @property {() => Promise<unknown>} close
 */

const base64url = (/** @type {string | object} */ value) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** The claims of a job on a branch of the repository acme/shop, as GitHub Actions makes them. */
export const githubJob = {
  sub: "repo:acme/shop:environment:production",
  actor: "ada",
  actor_id: "1001",
  base_ref: "",
  environment: "production",
  event_name: "push",
  head_ref: "",
  job_workflow_ref: "acme/shop/.github/workflows/deploy.yml@refs/heads/main",
  ref: "refs/heads/main",
  ref_protected: "true",
  ref_type: "branch",
  repository: "acme/shop",
  repository_id: "123456789",
  repository_owner: "acme",
  repository_owner_id: "1234567",
  repository_visibility: "private",
  run_attempt: "1",
  run_id: "9876543210",
  run_number: "42",
  runner_environment: "github-hosted",
  sha: "0123456789abcdef0123456789abcdef01234567",
  workflow: "deploy",
};

/** The same as GitLab makes them. */
export const gitlabJob = {
  sub: "project_path:acme/shop:ref_type:branch:ref:main",
  environment_protected: "false",
  job_id: "302",
  namespace_id: "72",
  namespace_path: "acme",
  pipeline_id: "574",
  pipeline_source: "push",
  project_id: "20",
  project_path: "acme/shop",
  project_visibility: "private",
  ref: "main",
  ref_path: "refs/heads/main",
  ref_protected: "true",
  ref_type: "branch",
  runner_environment: "gitlab-hosted",
  runner_id: 1,
  sha: "0123456789abcdef0123456789abcdef01234567",
  user_email: "ada@acme.dev",
  user_id: "1",
  user_login: "ada",
};

/**
 * A key pair for an algorithm, with its id.
 * @param {string} alg
 * @param {string} [kid]
 */
export function newKey(alg, kid = randomUUID()) {
  const pair =
    alg === "ES256"
      ? generateKeyPairSync("ec", { namedCurve: "P-256" })
      : generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { alg, kid, ...pair, jwk: { ...pair.publicKey.export({ format: "jwk" }), kid, alg, use: "sig" } };
}

/** A key for each algorithm. */
export function newKeys() {
  return ["RS256", "ES256", "PS256"].map((alg) => newKey(alg));
}

/**
 * A JWS in the compact form. A key of null leaves the signature out.
 * @param {Key | null} key
 * @param {string | object} claims the payload, as it is or as JSON
 * @param {Signing} [how]
 */
export function signJwt(key, claims, { header = {}, secret } = {}) {
  const input = `${base64url({ alg: key?.alg ?? "none", kid: key?.kid, typ: "JWT", ...header })}.${base64url(claims)}`;
  if (secret !== undefined) return `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`;
  if (key === null) return `${input}.`;
  const options =
    key.alg === "ES256"
      ? { key: key.privateKey, dsaEncoding: /** @type {const} */ ("ieee-p1363") }
      : key.alg === "PS256"
        ? { key: key.privateKey, padding: 6, saltLength: 32 }
        : { key: key.privateKey };
  return `${input}.${sign("sha256", Buffer.from(input), options).toString("base64url")}`;
}

/** An issuer on 127.0.0.1. */
export async function startCiIssuer({ path = "", keys = newKeys() } = {}) {
  const server = createServer((request, response) => {
    const at = request.url ?? "";
    issuer.asked[at] = (issuer.asked[at] ?? 0) + 1;
    /** @type {Record<string, () => object>} */
    const answers = {
      [`${path}/.well-known/openid-configuration`]: () => ({
        issuer: issuer.url,
        jwks_uri: `${issuer.url}/jwks`,
        id_token_signing_alg_values_supported: ["RS256", "ES256", "PS256"],
      }),
      [`${path}/jwks`]: () => ({ keys: issuer.keys.map(({ jwk }) => jwk) }),
    };
    const name = at.endsWith("/jwks") ? "jwks" : "discovery";
    const changed = issuer.change[name];
    if (changed instanceof Function) return changed(response, answers[at]?.());
    const answer = changed ?? answers[at]?.();
    if (answer === undefined) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": "application/json" });
    response.end(typeof answer === "string" ? answer : JSON.stringify(answer));
  });
  /** @type {CiIssuer} */
  const issuer = {
    keys,
    asked: {},
    change: {},
    url: `http://127.0.0.1:${await listen(server)}${path}`,
    close: () => {
      server.closeAllConnections();
      return new Promise((done) => server.close(done));
    },
    token: (audience, job, changes = {}, { key = issuer.keys[0], ...how } = {}) => {
      const now = Math.floor(Date.now() / 1000);
      const times = { iat: now, nbf: now - 5, exp: now + 300 };
      return signJwt(key, { iss: issuer.url, aud: audience, jti: randomUUID(), ...times, ...job, ...changes }, how);
    },
  };
  return issuer;
}
