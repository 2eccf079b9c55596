// Programs of other people as clients of a server that takes the tokens: git with a credential helper, curl and skopeo.
// What they send depends on the server's WWW-Authenticate. The server's code is that of docs/backends.md.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { request as ask, createServer } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { listen } from "./port.mjs";

/** @import { StandIn } from "./clerk.mjs" */
/** @import { Children } from "./e2e/processes.mjs" */

/**
 * @typedef {{ status: number | string | null, output: string, seen: string }} Result of a client's run; seen:
 *   startFront's notes
 */

const page = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "docs", "backends.md");

/**
 * The one snippet of docs/backends.md that holds this text.
 * @param {string} text
 */
export async function snippet(text) {
  const found = [...(await readFile(page, "utf8")).matchAll(/^```ts\n(.*?)^```$/gms)]
    .map(([, code]) => code)
    .filter((code) => code.includes(text));
  assert.equal(found.length, 1, `snippets with ${text}`);
  return found[0];
}

/** The clients that are not here; a failure where everything must be there. */
export function missingClients() {
  const missing = ["git", "curl", "skopeo"].filter((name) => spawnSync(name, ["--version"]).status !== 0);
  if (missing.length > 0 && process.env.CI === "true") throw new Error(`not here: ${missing.join(", ")}`);
  return missing.length > 0 ? `not here: ${missing.join(", ")}` : undefined;
}

/**
 * Passes every path on to one address, and notes the scheme of Authorization and the status: "Basic 200".
 * @param {URL} target
 */
async function startFront(target) {
  /** @type {string[]} */
  const notes = [];
  const server = createServer((incoming, outgoing) => {
    const scheme = incoming.headers.authorization?.split(" ")[0] ?? "-";
    const headers = { ...incoming.headers, host: target.host };
    const onward = ask(target, { method: incoming.method, headers }, (answer) => {
      notes.push(`${scheme} ${answer.statusCode}`);
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on("error", () => outgoing.destroy());
    incoming.pipe(onward);
  });
  const port = await listen(server);
  const take = () => notes.splice(0).join(", ");
  const close = () => {
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  };
  return { host: `127.0.0.1:${port}`, take, close };
}

/**
 * Lets all of them in with a token of Clerk's, and not with another client's.
 * @param {{ target: URL, children: Children, folder: string, good: string, bad: string }} options
 */
async function tryPrograms({ target, children, folder, good, bad }) {
  const front = await startFront(target);
  const asked = join(folder, "asked");
  const helper = join(folder, "credential-helper");
  const script =
    '#!/bin/sh\necho "$1" >> "$ASKED"\n[ "$1" != get ] || printf "username=clerk\\npassword=%s\\n" "$TOKEN"\n';
  await writeFile(helper, script, { mode: 0o700 });
  const environment = { PATH: process.env.PATH, HOME: folder, XDG_RUNTIME_DIR: folder };
  /**
   * @type {(command: string, args: string[], more?: { input?: string, env?: NodeJS.ProcessEnv }) => Promise<Result>}
   */
  const run = async (command, args, { input = "", env = {} } = {}) => {
    const child = children.start(command, args, { cwd: folder, env: { ...environment, ...env } });
    child.process.stdin.end(input);
    const status = await child.exit;
    return { status, output: child.output(), seen: front.take() };
  };
  const git = async (/** @type {string} */ token) => {
    await writeFile(asked, "");
    const env = { GIT_CONFIG_NOSYSTEM: "1", GIT_TERMINAL_PROMPT: "0", TOKEN: token, ASKED: asked };
    const result = await run("git", ["-c", `credential.helper=${helper}`, "ls-remote", `http://${front.host}/x.git`], {
      env,
    });
    return { ...result, verbs: (await readFile(asked, "utf8")).trim().split("\n").join(" ") };
  };
  const skopeo = (/** @type {string} */ token) =>
    run(
      "skopeo",
      [
        "login",
        "--tls-verify=false",
        "--authfile",
        join(folder, "auth.json"),
        "-u",
        "clerk",
        "--password-stdin",
        front.host,
      ],
      { input: token },
    );
  const curl = (/** @type {string[]} */ ...args) => run("curl", ["-sS", "-f", ...args, `http://${front.host}/`]);
  try {
    // What is served is no repository, of which git complains: but it was let in, and tells its helper so.
    const accepted = await git(good);
    assert.match(accepted.seen, /^- 401, (- 401, )?Basic 200(, Basic 200)*$/, accepted.output);
    assert.equal(accepted.verbs, "get store");
    const refused = await git(bad);
    assert.match(refused.seen, /^- 401, (- 401, )?Basic 401$/, refused.output);
    assert.equal(refused.verbs, "get erase");

    let result = await curl("--anyauth", "-u", `clerk:${good}`);
    assert.deepEqual([result.status, result.seen], [0, "- 401, Basic 200"], result.output);
    result = await curl("-H", `Authorization: Bearer ${good}`);
    assert.deepEqual([result.status, result.seen], [0, "Bearer 200"], result.output);

    result = await skopeo(good);
    assert.deepEqual([result.status, result.seen], [0, "- 401, Basic 200"], result.output);
    result = await skopeo(bad);
    assert.notEqual(result.status, 0);
    assert.match(result.seen, /^- 401, Basic 401/);
  } finally {
    await front.close();
  }
}

/** The addresses that Clerk's server code asks about tokens. */
const judges = ["api_keys/verify", "m2m_tokens/verify", "oauth_applications/access_tokens/verify", "jwks"].flatMap(
  (name) => [`/${name}`, `/v1/${name}`],
);

/**
 * Holds a server to docs/backends.md. It must have CLERK_JWT_KEY, publicKey() of the stand-in, and CLI_CLIENT_ID as in
 * the stand-in's tokens.
 * @param {{ address: string, clerk: StandIn, children: Children, folder: string }} options
 */
export async function tryServer({ address, clerk, children, folder }) {
  const target = new URL(address);
  const { world, journal } = clerk;
  const [ada] = world.users.values();
  const session = world.startSession(world.newBrowser(), ada, null);
  const tokens = {
    oauth_token: [world.oauthToken(ada), world.opaqueToken("oauth", { subject: ada.id })],
    session_token: [world.sessionToken(session)],
    m2m_token: [world.m2mToken(), world.opaqueToken("m2m", { subject: "mch_1" })],
    api_key: [world.opaqueToken("api_key", { subject: ada.id })],
  };
  const refused = {
    "another client's": world.oauthToken(ada, { claims: { client_id: "other" } }),
    expired: world.oauthToken(ada, { seconds: -100 }),
    "a template's": world.templateToken(session, "cli_session_token"),
    "no JWT": "x",
    "unknown key": "ak_unknown",
    "unknown access token": "oat_unknown",
    "unknown M2M token": "mt_unknown",
  };
  const send = async (/** @type {string | undefined} */ authorization = undefined) => {
    const response = await fetch(target, { headers: authorization ? { authorization } : {}, redirect: "manual" });
    return { response, status: response.status, challenge: response.headers.get("www-authenticate") };
  };
  const both = (/** @type {string} */ token) => [
    `Bearer ${token}`,
    `Basic ${Buffer.from(`clerk:${token}`).toString("base64")}`,
  ];
  const challenge = 'Basic realm="Acme", Bearer realm="Acme"';

  let answer = await send();
  assert.deepEqual([answer.status, answer.challenge], [401, challenge], "without a token");
  for (const [name, token] of Object.entries(refused)) {
    for (const authorization of both(token)) {
      answer = await send(authorization);
      assert.deepEqual([answer.status, answer.challenge], [401, `${challenge}, error="invalid_token"`], name);
    }
  }
  const accepted = async () => {
    for (const [kind, all] of Object.entries(tokens)) {
      for (const authorization of all.flatMap(both)) {
        answer = await send(authorization);
        assert.equal(answer.status, 200, kind);
        assert.deepEqual(await answer.response.json(), { kind });
      }
    }
  };
  await accepted();

  // Clerk does not answer, or not for us: what it alone can judge is not refused, what the key can judge is served.
  for (const status of /** @type {const} */ ([500, 503, 429, 401, "drop"])) {
    for (const path of judges) journal.fault({ path, status, times: 1000 });
    for (const token of Object.values(tokens).flat()) {
      const opaque = !token.includes(".");
      answer = await send(`Bearer ${token}`);
      assert.equal(answer.status, opaque ? 503 : 200, `${status}: ${token.slice(0, 3)}`);
      assert.equal(answer.challenge, null);
      assert.equal(answer.response.headers.has("retry-after"), opaque);
    }
    journal.reset();
  }
  // Clerk refuses to look at it: that is the token's fault.
  for (const status of [400, 404, 422]) {
    for (const path of judges) journal.fault({ path, status, times: 1000 });
    answer = await send(`Bearer ${tokens.api_key[0]}`);
    assert.equal(answer.status, 401, `${status} of Clerk's`);
    journal.reset();
  }
  await accepted();
  await tryPrograms({ target, children, folder, good: tokens.oauth_token[0], bad: refused["another client's"] });
}
