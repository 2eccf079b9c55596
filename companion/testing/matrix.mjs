// Kinds of app: each gets the companion page from "clerk-credential-helper companion add", is built and started, and
// must pass "companion check"; or it is refused with the reason, before anything is written. The other versions of
// Next.js and Clerk, and what the package managers make of a workspace, are installed from npm: it takes minutes.
//
//   node --test --test-reporter=spec testing/matrix.mjs
//   node --test --test-reporter=spec --test-name-pattern=locale testing/matrix.mjs
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Apps, companion, layout, missing } from "./apps.mjs";
import { takePort } from "./port.mjs";

/** @import { Manifest } from "./apps.mjs" */
/**
 * @typedef {object} Row what is different in an app
 * @property {string} name
 * @property {string} [source] the folder of app
 * @property {Record<string, string | null>} [files] null: there is none
 * @property {Record<string, string>} [versions] other than ours, or more
 * @property {false} [types] there is no TypeScript
 * @property {keyof typeof managers} [workspace] who installs
 * @property {string} [at] the folder of the app in a workspace
 * @property {RegExp} [said] by "companion add"
 * @property {(origin: string) => Promise<void>} [during]
 */

const apps = new Apps();
const skip = missing();
if (skip && process.env.CI === "true") throw new Error(skip);

before(() => skip || apps.open());
after(() => apps.close());

const config = (/** @type {string} */ text) => `import type { NextConfig } from "next";

const nextConfig: NextConfig = {
  ${text}
};

export default nextConfig;
`;

const html = `export default function Layout({ children }: { children: React.ReactNode }) {
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  );
}
`;

// Sends everything that has no language to one that has, as next-intl's does.
const localeProxy = `import { clerkMiddleware } from "@clerk/nextjs/server";
import { NextResponse } from "next/server";
import { withCliAuth } from "./lib/cli-auth/proxy";

const app = clerkMiddleware(async (auth, request) => {
  const { pathname } = request.nextUrl;
  if (/^\\/(en|de)(\\/|$)/.test(pathname)) {
    await auth.protect();
    return NextResponse.next();
  }
  return NextResponse.redirect(new URL(\`/en\${pathname}\`, request.url));
});

export default withCliAuth(app);

export const config = { matcher: ["/((?!_next|.*\\\\..*).*)", "/.well-known/:path*", "/(api|trpc)(.*)"] };
`;

const page = "export default function Page() {\n  return <main>Hello</main>;\n}\n";

/** @type {Row[]} */
const built = [
  {
    name: "everything below [locale], and a proxy that sends all to a language",
    files: {
      "app/layout.tsx": null,
      "app/page.tsx": null,
      "app/[locale]/layout.tsx": html,
      "app/[locale]/page.tsx": page,
      "proxy.ts": localeProxy,
    },
    said: /written: .*app\/cli-auth\/layout\.tsx/,
    during: async (origin) => {
      const home = await fetch(origin, { redirect: "manual" });
      assert.equal(new URL(home.headers.get("location") ?? "", origin).pathname, "/en/", "the app's own proxy");
    },
  },
  {
    name: "[locale] below a layout that passes its children on",
    files: {
      "app/layout.tsx":
        "export default function Layout({ children }: { children: React.ReactNode }) {\n  return children;\n}\n",
      "app/page.tsx": null,
      "app/[locale]/layout.tsx": html,
      "app/[locale]/page.tsx": page,
    },
    said: /written: .*app\/cli-auth\/layout\.tsx/,
  },
  { name: "below src", source: "src", said: /written: .*src\/proxy\.ts/ },
  {
    name: "route groups with a root layout each, below src",
    source: "src",
    files: {
      "src/app/layout.tsx": null,
      "src/app/page.tsx": null,
      "src/app/(site)/layout.tsx": html,
      "src/app/(site)/page.tsx": page,
      "src/app/(shop)/layout.tsx": html,
      "src/app/(shop)/shop/page.tsx": page,
    },
    said: /written: .*app\/cli-auth\/layout\.tsx/,
  },
  {
    name: "the languages of the pages router beside app",
    files: {
      "next.config.ts": config('i18n: { locales: ["en", "de"], defaultLocale: "en" },'),
      "pages/about.tsx": page,
    },
  },
  {
    name: "trailingSlash without its redirect",
    files: { "next.config.ts": config("trailingSlash: true,\n  skipTrailingSlashRedirect: true,") },
  },
  {
    name: "no TypeScript",
    files: {
      "tsconfig.json": null,
      "next.config.ts": null,
      "next.config.mjs": "export default {};\n",
      "jsconfig.json": '{ "compilerOptions": { "paths": { "@/*": ["./*"] } } }\n',
      "app/layout.tsx": null,
      "app/page.tsx": null,
      "app/layout.js":
        'export default function Layout({ children }) {\n  return (\n    <html lang="en">\n      <body>{children}</body>\n    </html>\n  );\n}\n',
      "app/page.js": page,
    },
    types: false,
    said: /npm install --save-dev typescript/,
  },
  {
    name: "Tailwind",
    files: {
      "app/globals.css": '@import "tailwindcss";\n',
      "postcss.config.mjs": 'export default { plugins: { "@tailwindcss/postcss": {} } };\n',
    },
    versions: { tailwindcss: "4.3.5", "@tailwindcss/postcss": "4.3.5" },
  },
  {
    name: "create-next-app's own choice: cacheComponents",
    files: { "next.config.ts": config("cacheComponents: true,") },
  },
  { name: "Next.js 15.2", versions: { next: "15.2.9" }, said: /written: .*middleware\.ts/ },
  { name: "Next.js 15.5", versions: { next: "15.5.29" }, said: /written: .*middleware\.ts/ },
  { name: "an npm workspace", workspace: "npm" },
  { name: "a pnpm workspace", workspace: "pnpm" },
  { name: "the root of a pnpm workspace, with its modules in one folder", workspace: "pnpm-hoisted", at: "." },
  { name: "a yarn workspace", workspace: "yarn" },
  { name: "yarn with Plug'n'Play, which webpack builds", workspace: "yarn-pnp", said: /"next build --webpack"/ },
  { name: "the root of a yarn 1 workspace", workspace: "yarn1", at: "." },
  { name: "a bun workspace", workspace: "bun" },
];

/** @type {(Pick<Row, "name" | "files"> & { manifest?: Record<string, string>, why: RegExp })[]} */
const refused = [
  { name: "basePath", files: { "next.config.ts": config('basePath: "/shop",') }, why: /basePath/ },
  {
    name: "trailingSlash with its redirect",
    files: { "next.config.ts": config("trailingSlash: true,") },
    why: /skipTrailingSlashRedirect/,
  },
  { name: "a static export", files: { "next.config.ts": config('output: "export",') }, why: /export/ },
  { name: "Next.js 15.2.7", manifest: { next: "15.2.7" }, why: /next 15\.2\.7 is too old/ },
  { name: "Next.js 14", manifest: { next: "^14.2.0" }, why: /next 14\.x\.x is too old/ },
  // Its clerkMiddleware sends a form's POST to Clerk and back, as it does a page.
  { name: "@clerk/nextjs 6", manifest: { "@clerk/nextjs": "^6.39.0" }, why: /@clerk\/nextjs 6\.x\.x is too old/ },
  { name: "jose 5", manifest: { jose: "^5.0.0" }, why: /jose 5\.x\.x is too old/ },
  {
    name: "pages alone",
    files: {
      "app/layout.tsx": null,
      "app/page.tsx": null,
      "app/globals.css": null,
      "app/page.module.css": null,
      "pages/index.tsx": page,
    },
    why: /needs the App Router/,
  },
];

const pnpm = {
  package: "pnpm@10.34.8",
  install: ["install", "--ignore-scripts"],
  files: { "pnpm-workspace.yaml": 'packages: ["apps/*", "packages/*"]\n' },
  lock: "pnpm-lock.yaml",
  adds: "pnpm add jose@6",
};

const yarn = (/** @type {string} */ linker) => ({
  package: "@yarnpkg/cli-dist@4.18.1",
  install: ["install", "--mode=skip-build"],
  files: {
    ".yarnrc.yml": `nodeLinker: ${linker}\nenableTelemetry: false\nenableGlobalCache: false\nenableImmutableInstalls: false\n`,
    "yarn.lock": "",
  },
  lock: "yarn.lock",
  adds: "yarn add jose@6",
});

/**
 * What each is installed from, how it installs, its own files in a workspace, the name of its lock file, the command that
 * must be printed for what is missing, where the modules are, and the flags that Next.js builds with.
 * @typedef {object} Manager
 * @property {string} [package]
 * @property {string[]} install
 * @property {Record<string, string>} files
 * @property {string} lock
 * @property {string} adds
 * @property {string} [modules]
 * @property {string[]} [build]
 */
/** @type {Record<"npm" | "pnpm" | "pnpm-hoisted" | "yarn" | "yarn-pnp" | "yarn1" | "bun", Manager>} */
const managers = {
  npm: {
    install: ["install", "--ignore-scripts", "--silent", "--no-audit", "--no-fund", "--prefer-offline"],
    files: {},
    lock: "package-lock.json",
    adds: "npm install jose@6",
  },
  pnpm,
  "pnpm-hoisted": {
    ...pnpm,
    files: { ...pnpm.files, ".npmrc": "node-linker=hoisted\n" },
    adds: "pnpm add -w jose@6",
  },
  yarn: yarn("node-modules"),
  "yarn-pnp": { ...yarn("pnp"), modules: ".pnp.cjs", build: ["--webpack"] },
  yarn1: {
    package: "yarn@1.22.22",
    install: ["install", "--ignore-scripts", "--silent"],
    files: {},
    lock: "yarn.lock",
    adds: "yarn add -W jose@6",
  },
  bun: {
    package: "bun@1.4.5",
    install: ["install", "--ignore-scripts"],
    files: {},
    lock: "bun.lock",
    adds: "bun add jose@6",
  },
};

// Package managers take registries, proxies and certificates from the environment.
const { CI: _, ...env } = process.env;

const installed = new Map();

/**
 * A folder with the node_modules that an app needs.
 * @param {Manifest} manifest
 */
async function modules(manifest) {
  const key = JSON.stringify(manifest.dependencies);
  if (!installed.has(key)) {
    const dir = join(apps.dir, `installed-${installed.size}`);
    await apps.write(dir, { "package.json": JSON.stringify(manifest, null, 2) });
    await npm(dir, "install", "--legacy-peer-deps", "--ignore-scripts");
    installed.set(key, dir);
  }
  return installed.get(key);
}

/**
 * @param {string} cwd
 * @param {string[]} args
 */
function npm(cwd, ...args) {
  return apps.children.run("npm", [...args, "--silent", "--no-audit", "--no-fund", "--prefer-offline"], { cwd, env });
}

/**
 * The program of a package manager.
 * @param {keyof typeof managers} name
 */
async function manager(name) {
  const { package: wanted, adds } = managers[name];
  const [program] = adds.split(" ");
  if (!wanted) return program; // npm is here
  const tools = join(apps.dir, "tools", name);
  await apps.write(tools, { "package.json": "{}" });
  await npm(tools, "install", wanted); // with its scripts: bun's program comes by one
  return join(tools, "node_modules", ".bin", program);
}

/** @param {Omit<Row, "name"> & { manifest?: Record<string, string> }} row */
function files(row) {
  const usual = layout(row.source ?? "", apps.packages);
  /** @type {Record<string, string | null>} */
  const all = { ...usual, ...row.files };
  const manifest = JSON.parse(usual["package.json"]);
  Object.assign(manifest.dependencies, row.versions, row.manifest);
  if (row.types === false) delete manifest.devDependencies;
  all["package.json"] = JSON.stringify(manifest, null, 2);
  return { all, manifest };
}

for (const [index, row] of built.entries()) {
  test(row.name, { skip, timeout: 1_200_000 }, async () => {
    const root = join(apps.dir, `app-${index}`);
    const { all, manifest } = files(row);
    const { port, release } = await takePort();
    const origin = `http://localhost:${port}`;
    if (row.workspace) {
      const app = join(root, row.at ?? "apps/web");
      const how = await workspace(row.workspace, { root, app, all, manifest, origin, said: row.said });
      await apps.check(app, { port, release, store: "memory", ...how });
      return;
    }
    await apps.write(root, all);
    await apps.link(row.versions ? await modules(manifest) : companion, root);
    const said = await apps.add(root, origin);
    if (row.said) assert.match(said, row.said);
    await apps.check(root, { port, release, store: "memory", during: row.during });
  });
}

/**
 * An app of a workspace, or at its root, gets the page, and what is missing then by the command that is printed. Returns
 * how it is built and started.
 * @param {keyof typeof managers} name
 * @param {object} options
 * @param {string} options.root
 * @param {string} options.app
 * @param {Record<string, string | null>} options.all
 * @param {Manifest & { workspaces?: string[] }} options.manifest
 * @param {string} options.origin
 * @param {RegExp} [options.said]
 */
async function workspace(name, { root, app, all, manifest, origin, said }) {
  const { install, files, lock, adds, modules = "node_modules", build } = managers[name];
  const workspaces = ["apps/*", "packages/*"];
  await apps.write(join(root, "packages", "ui"), { "package.json": JSON.stringify({ name: "ui", version: "1.0.0" }) });
  await apps.write(root, { "package.json": JSON.stringify({ name: "root", private: true, workspaces }), ...files });
  delete manifest.dependencies.jose;
  if (app === root) manifest.workspaces = workspaces;
  await apps.write(app, {
    ...all,
    "package.json": JSON.stringify(manifest, null, 2),
    "next.config.ts": config(`turbopack: { root: ${JSON.stringify(root)} },`),
  });
  const program = await manager(name);
  const run = (/** @type {string} */ cwd, /** @type {string[]} */ ...args) =>
    apps.children.run(program, args, { cwd, env });
  await run(root, ...install);
  for (const made of [lock, modules]) assert.ok(existsSync(join(root, made)), made);
  const first = await apps.add(app, origin);
  if (said) assert.match(first, said);
  const [, command] = /^ {4}(.* jose@6)$/m.exec(first) ?? [];
  assert.equal(command, adds);
  await run(app, ...adds.split(" ").slice(1));
  assert.match(await apps.add(app, origin), /as they should be already: \d+ files\n(\n.*Plug'n'Play.*\n)?\n1\. Set in/);
  // Plug'n'Play has packages in archives, which Node.js can read only as the package manager starts it.
  if (modules !== "node_modules") return { build, next: [program, "run", "next"] };
  return {};
}

for (const [index, row] of refused.entries()) {
  test(`refused: ${row.name}`, { skip }, async () => {
    const app = join(apps.dir, `refused-${index}`);
    await apps.write(app, files(row).all);
    await assert.rejects(apps.add(app, "http://localhost:1"), row.why);
    for (const written of ["app/cli-auth", "lib", "proxy.ts"]) {
      assert.ok(!existsSync(join(app, written)), written);
    }
  });
}
