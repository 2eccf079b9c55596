// The whole way of a sign-in, with real programs: git, the helper, Chromium with the real clerk-js, the companion as
// Next.js serves it in production, the example backend of docs/backend, and a stand-in for Clerk alone.
//
//   node testing/e2e.mjs [--only NAME,NAME...] [--firefox]
//
// It needs Chromium, Go, git, openssl, script(1) and the companion built for the stand-in (npm run build:test); on its
// first run also npm, for three packages. E2E_ARTIFACTS names the folder for pictures of every page, E2E_PACKAGES the
// cache of those packages, CHROMIUM and FIREFOX the browsers.
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { builtApp } from "./attacks/build.mjs";
import { startClerk } from "./clerk.mjs";
import { Profile, startBrowser } from "./e2e/browser.mjs";
import { Firefox } from "./e2e/firefox.mjs";
import { unpackPackages } from "./e2e/packages.mjs";
import { Mailbox } from "./e2e/person.mjs";
import { Children } from "./e2e/processes.mjs";
import { scenarios } from "./e2e/scenarios.mjs";
import { onFreePort } from "./port.mjs";

const companion = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const repository = resolve(companion, "..");

const chromium = process.env.CHROMIUM ?? "/usr/bin/chromium";
const firefox = process.env.FIREFOX ?? "/usr/bin/firefox-esr";
const limits = { all: 10 * 60_000, scenario: 60_000 };

/** @import { Browser } from "./e2e/playwright.d.mts" */
/** @import { StandIn } from "./clerk.mjs" */
/** @import { Scenario } from "./e2e/scenarios.mjs" */

/** Which build of the companion there is. */
function buildId() {
  return readFile(join(builtApp, ".next", "BUILD_ID"), "utf8").catch(() => undefined);
}

/**
 * @template T
 * @param {number} milliseconds
 * @param {string} what
 * @param {Promise<T>} promise
 */
async function within(milliseconds, what, promise) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  /** @type {Promise<never>} */
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not done within ${milliseconds / 1000} s`)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Everything that the scenarios share. */
export class Stage {
  children = new Children();
  mailbox = new Mailbox();
  /** @type {Set<string>} */
  shot = new Set();
  // What build makes.
  /** @type {string} */
  folder;
  /** @type {string} */
  artifacts;
  /** @type {string} */
  bin;
  /** @type {string} */
  packages;
  /** @type {StandIn} */
  standIn;
  /** @type {StandIn["ready"]} */
  clerk;
  /** @type {Set<string>} */
  known; // whom a page may ask; data: and blob: have no host
  /** @type {Browser} */
  browser;
  /** @type {string} */
  app;
  /** @type {string} */
  backend;
  /** @type {string} */
  git;

  async build() {
    this.built = await buildId();
    if (this.built === undefined) throw new Error("the companion is not built: npm run build:test");
    this.folder = await mkdtemp(join(tmpdir(), "companion-e2e-"));
    this.artifacts = resolve(process.env.E2E_ARTIFACTS ?? (await mkdtemp(join(tmpdir(), "companion-e2e-pictures-"))));
    this.bin = join(this.folder, "bin");
    const git = join(this.folder, "git");
    await Promise.all([mkdir(this.bin), mkdir(git), mkdir(join(this.folder, "server"))]);
    const env = { ...process.env, GOFLAGS: "-mod=readonly" };
    await mkdir(this.artifacts, { recursive: true });
    const [packages] = await Promise.all([
      unpackPackages(join(this.folder, "packages"), process.env.E2E_PACKAGES),
      this.children.run(
        "go",
        ["build", "-o", join(this.bin, "clerk-credential-helper"), "./cmd/clerk-credential-helper"],
        {
          cwd: repository,
          env,
        },
      ),
      this.children.run("go", ["build", "-o", join(this.bin, "backend"), "."], {
        cwd: join(repository, "docs", "backend"),
        env,
      }),
      this.makeRepository(git),
      this.mailbox.open(),
    ]);
    await symlink("clerk-credential-helper", join(this.bin, "git-credential-clerk"));
    this.packages = packages;
    this.standIn = await startClerk({ packages });
    this.clerk = this.standIn.ready;
    this.known = new Set(["localhost", "127.0.0.1", "", new URL(this.clerk.issuer).hostname]);
    await Promise.all([
      onFreePort((port) => this.startApp(port)),
      this.startBackend(git),
      startBrowser({ packages, clerk: this.clerk, executable: chromium }).then((browser) => {
        this.browser = browser;
      }),
    ]);
  }

  /** @type {Promise<Firefox> | undefined} */
  startedFirefox;

  /** Firefox, which starts with the first scenario that wants it. */
  firefox() {
    this.startedFirefox ??= Firefox.start(this, firefox);
    return this.startedFirefox;
  }

  /** @param {string} folder */
  async makeRepository(folder) {
    const env = {
      PATH: process.env.PATH,
      HOME: this.folder,
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_AUTHOR_NAME: "Ada",
      GIT_AUTHOR_EMAIL: "ada@acme.dev",
      GIT_COMMITTER_NAME: "Ada",
      GIT_COMMITTER_EMAIL: "ada@acme.dev",
    };
    const work = join(this.folder, "work");
    const git = (/** @type {string[]} */ ...args) => this.children.run("git", args, { env, cwd: this.folder });
    await git("init", "--quiet", "--initial-branch=main", work);
    await git("-C", work, "commit", "--quiet", "--allow-empty", "--message=hello");
    await git("clone", "--quiet", "--bare", work, join(folder, "hello.git"));
  }

  /** @param {number} port */
  async startApp(port) {
    this.app = `http://localhost:${port}`;
    await this.serve(port);
  }

  /**
   * Starts the built app, and returns its process when it listens.
   * @param {number} port
   * @param {Record<string, string>} more settings in addition
   */
  async serve(port, more = {}) {
    const next = join(companion, "node_modules", "next", "dist", "bin", "next");
    const server = this.children.start(process.execPath, [next, "start", "-p", String(port)], {
      cwd: builtApp,
      env: {
        PATH: process.env.PATH,
        HOME: join(this.folder, "server"),
        NODE_ENV: "production",
        NEXT_TELEMETRY_DISABLED: "1",
        NEXT_PUBLIC_CLERK_TELEMETRY_DISABLED: "1",
        NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY: this.clerk.publishableKey,
        CLERK_SECRET_KEY: this.clerk.secretKey,
        CLERK_API_URL: this.clerk.backend,
        CLI_AUTH_ORIGIN: `http://localhost:${port}`,
        CLI_AUTH_SECRET: randomBytes(32).toString("base64url"),
        CLI_AUTH_STORE: "memory",
        ...more,
      },
    });
    await server.said(/Ready in/);
    return server;
  }

  /** @param {string} git */
  async startBackend(git) {
    const server = this.children.start(
      join(this.bin, "backend"),
      [
        ...["-listen", "127.0.0.1:0", "-issuer", this.clerk.issuer, "-ca", this.clerk.ca],
        ...["-api", this.clerk.backend, "-git", git],
      ],
      {
        cwd: this.folder,
        env: {
          PATH: process.env.PATH,
          HOME: join(this.folder, "server"),
          HTTPS_PROXY: this.clerk.proxy,
          CLERK_SECRET_KEY: this.clerk.secretKey,
        },
      },
    );
    const [, origin] = await server.said(/^listening on (http:\/\/\S+)$/m);
    this.backend = origin;
    this.git = new URL(origin).host;
  }

  /**
   * Asks the stand-in's control interface.
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>}
   */
  async control(path, body = {}) {
    const response = await fetch(this.clerk.control + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${path}: ${JSON.stringify(answer)}`);
    return answer;
  }

  async strike() {
    await this.browser?.close().catch(() => {});
    await this.children.stop();
    await this.standIn?.close();
    this.mailbox.close();
    // A folder that stays is no reason to call a good run a bad one.
    if (this.folder) await rm(this.folder, { recursive: true, force: true, maxRetries: 5 }).catch(() => {});
  }
}

const seconds = (/** @type {number} */ from) => `${((performance.now() - from) / 1000).toFixed(1)} s`;

/** @param {unknown} error */
const traced = (error) => (error instanceof Error ? error.stack : error);

/**
 * @param {Stage} stage
 * @param {Scenario} scenario
 */
async function runScenario(stage, { name, what, run, firefox: cold }) {
  const began = performance.now();
  const from = stage.standIn.journal.entries.length;
  const before = stage.children.all.filter(({ ended }) => ended);
  const profile = await Profile.of(stage, name);
  try {
    // Firefox starts in its scenario.
    await within(cold ? 3 * limits.scenario : limits.scenario, name, run(stage, profile));
    const faults = profile.faults();
    if (faults.length > 0) throw new Error(`the pages did what none may do:\n${faults.join("\n")}`);
    console.log(`ok    ${name.padEnd(16)} ${seconds(began).padStart(6)}  ${what}`);
    return true;
  } catch (error) {
    if (struck !== undefined) return false; // it did not fail, it was ended
    console.log(`FAIL  ${name.padEnd(16)} ${seconds(began).padStart(6)}  ${what}`);
    console.log(traced(error));
    if ((await buildId()) !== stage.built) console.log("the companion was built again while this ran: run it again");
    console.log(await profile.describe());
    const asked = stage.standIn.journal.entries.slice(from).filter(({ path }) => !path.startsWith("/npm/"));
    console.log(
      `the stand-in was asked\n${asked.map((e) => `${e.server} ${e.method} ${e.path} ${e.status}`).join("\n")}`,
    );
    for (const child of stage.children.all.filter((one) => !before.includes(one))) {
      const end = child.ended ? `, which ended with ${await child.exit}` : "";
      console.log(`${child.name}${end}\n${child.output().slice(-4000)}`);
    }
    for (const [n, page] of profile.context.pages().entries()) {
      await page.screenshot({ path: join(stage.artifacts, `failed-${name}-${n}.png`), timeout: 5000 }).catch(() => {});
    }
    return false;
  } finally {
    await profile.close().catch(() => {});
  }
}

/** The programs that are needed and not here. */
async function missing() {
  const found = await Promise.all(
    ["go", "git", "openssl", "script", "tar", chromium, ...(values.firefox ? [firefox] : [])].map(async (name) => {
      const child = stage.children.start("/bin/sh", ["-c", 'command -v "$1"', "sh", name], { env: process.env });
      return (await child.exit) === 0 ? undefined : name;
    }),
  );
  return found.filter(Boolean);
}

const { values } = parseArgs({ options: { only: { type: "string" }, firefox: { type: "boolean" } } });
const wanted = values.only?.split(",");
const chosen = scenarios
  .filter((scenario) => values.firefox || !scenario.firefox)
  .filter(({ name }) => !wanted || wanted.includes(name));
const began = performance.now();
const stage = new Stage();

/** @type {Promise<void> | undefined} */
let struck;

/**
 * Takes everything away and ends; the first to say so decides about the status.
 * @param {number} status
 */
async function end(status) {
  if (struck === undefined) {
    process.exitCode = status;
    struck = stage.strike();
  }
  await struck;
  process.exit();
}
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => end(130));
process.once("uncaughtException", (error) => {
  console.log(error.stack);
  end(1);
});
process.stdout.on("error", () => end(1)); // the reader has gone
process.on("exit", () => stage.children.kill());

const lacking = await missing();
if (lacking.length > 0) {
  console.log(`${process.env.CI === "true" ? "FAIL" : "SKIP"}  not here: ${lacking.join(", ")}`);
  await end(process.env.CI === "true" ? 1 : 0);
}

let failed = chosen.length === 0 ? 1 : 0;
try {
  await within(
    limits.all,
    "the run",
    (async () => {
      await stage.build();
      console.log(`ready ${"".padEnd(16)} ${seconds(began).padStart(6)}  pictures: ${stage.artifacts}`);
      const run = async (/** @type {Scenario} */ scenario) => {
        if (!(await runScenario(stage, scenario))) failed += 1;
      };
      const aside = chosen.filter(({ slow }) => slow).map(run);
      for (const scenario of chosen.filter(({ slow }) => !slow)) await run(scenario);
      await Promise.all(aside);
    })(),
  );
} catch (error) {
  failed += 1;
  if (struck === undefined) console.log(traced(error));
}
if (struck === undefined)
  console.log(`${failed === 0 ? "ok   " : "FAIL "} ${chosen.length} scenarios in ${seconds(began)}`);
await end(failed === 0 ? 0 : 1);
