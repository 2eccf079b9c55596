// A new app, as create-next-app lays it out, gets the companion page from "clerk-credential-helper companion add", is
// built and started, and must pass "companion check". Nothing is installed: the packages are those of this folder. The
// app also holds the Next.js code of docs/backends.md, which must let git, curl and skopeo in.
//
//   node --test testing/fresh.mjs
//
// The helper is built with Go, or is the program that CLERK_CREDENTIAL_HELPER names. matrix.mjs has the other kinds of
// app.
import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Apps, companion, layout, missing } from "./apps.mjs";
import { missingClients, snippet, tryServer } from "./clients.mjs";
import { takePort } from "./port.mjs";

const apps = new Apps();
const skip = missing() || missingClients();
if (skip && process.env.CI === "true") throw new Error(skip);

before(() => skip || apps.open());
after(() => apps.close());

test("a new app, without a store", { skip, timeout: 900_000 }, async () => {
  const app = join(apps.dir, "plain");
  await apps.write(app, layout("", apps.packages));
  await apps.link(companion, app);
  const { port, release } = await takePort(); // no other program may take it while the app is built
  const said = await apps.add(app, `http://localhost:${port}`);
  assert.match(said, /written: .*proxy\.ts/);
  assert.doesNotMatch(said, /Install what is missing|withCliAuth around/);
  await lint(app);
  await addBackend(app);
  const during = (/** @type {string} */ origin) =>
    tryServer({ address: `${origin}/api/me`, clerk: apps.clerk, children: apps.children, folder: apps.dir });
  await apps.check(app, { port, release, store: "", during });
});

/**
 * Runs what create-next-app offers as "npm run lint", with its settings, over what was written.
 * @param {string} app
 */
async function lint(app) {
  await apps.write(app, {
    ".gitignore": "node_modules\n.next\n",
    "eslint.config.mjs": `import { defineConfig, globalIgnores } from "eslint/config";
import nextVitals from "eslint-config-next/core-web-vitals";
import nextTs from "eslint-config-next/typescript";

export default defineConfig([...nextVitals, ...nextTs, globalIgnores([".next/**", "next-env.d.ts"])]);
`,
    "biome.json": JSON.stringify({
      vcs: { enabled: true, clientKind: "git", useIgnoreFile: true },
      files: { ignoreUnknown: true, includes: ["**", "!node_modules", "!.next"] },
      formatter: { enabled: true, indentStyle: "space", indentWidth: 2 },
      css: { parser: { tailwindDirectives: true } },
      linter: { enabled: true, domains: { next: "recommended", react: "recommended" } },
      assist: { actions: { source: { organizeImports: "on" } } },
    }),
  });
  const written = ["app/cli-auth", "app/api", "app/.well-known", "lib", "proxy.ts"];
  const run = (/** @type {string} */ program, /** @type {string[]} */ ...args) =>
    apps.children.run(join(app, "node_modules", ".bin", program), args, { cwd: app });
  await run("biome", "check", "--error-on-warnings", ...written);
  await run("eslint", "--max-warnings", "0", ...written);
}

/**
 * Adds the route of docs/backends.md, and its proxy inside the companion's, as that page says.
 * @param {string} app
 */
async function addBackend(app) {
  await mkdir(join(app, "app", "api", "me"), { recursive: true });
  await writeFile(join(app, "app", "api", "me", "route.ts"), await snippet("// app/api/me/route.ts"));
  await writeFile(join(app, "backend.ts"), await snippet("// proxy.ts"));
  const plain = 'import { clerkMiddleware } from "@clerk/nextjs/server";';
  const own = await readFile(join(app, "proxy.ts"), "utf8");
  assert.ok(own.includes(plain) && own.includes("withCliAuth(clerkMiddleware())"));
  const wrapped = own.replace(plain, 'import proxy from "./backend";').replace("clerkMiddleware()", "proxy");
  await writeFile(join(app, "proxy.ts"), wrapped);
}
