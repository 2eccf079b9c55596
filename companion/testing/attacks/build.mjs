// Builds the app for the stand-in's publishable key, if the build that is there is older than its source. What is built
// is a copy in .test: its ci.ts takes the policy for CI jobs from the environment, so that one build can have any, and its
// language.ts has all languages.

import { spawn } from "node:child_process";
import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const companion = join(import.meta.dirname, "..", "..");

/** The folder that the app is built in, and started from. */
export const builtApp = join(companion, ".test");

/** Next.js puts this key into the build; everything else is read when the app runs. */
export const publishableKey = "pk_test_bm90ZWQtbGFiLTQyLmNsZXJrLmFjY291bnRzLmRldiQ";

const sources = ["app", "lib", "proxy.ts", "next.config.ts", "tsconfig.json", "package.json"];

const policy = `import type { Policy } from "./policy";

export const policy: Policy = JSON.parse(process.env.TEST_CI_POLICY ?? "[]");
`;

/**
 * @param {string} path
 * @returns {Promise<number>}
 */
async function newest(path) {
  const entry = await stat(path);
  if (!entry.isDirectory()) return entry.mtimeMs;
  const times = await Promise.all((await readdir(path)).map((name) => newest(join(path, name))));
  return Math.max(0, ...times);
}

export async function isBuilt() {
  const built = await stat(join(builtApp, ".next", "BUILD_ID")).catch(() => undefined);
  const paths = [...sources, "package-lock.json"].map((name) => join(companion, name));
  const times = await Promise.all([...paths, import.meta.filename].map(newest));
  return built !== undefined && built.mtimeMs > Math.max(...times);
}

async function copySources() {
  await mkdir(builtApp, { recursive: true });
  for (const name of sources) {
    await rm(join(builtApp, name), { recursive: true, force: true });
    await cp(join(companion, name), join(builtApp, name), { recursive: true });
  }
  await writeFile(join(builtApp, "lib", "cli-auth", "ci.ts"), policy);
  const language = join(builtApp, "lib", "cli-auth", "language.ts");
  const english = await readFile(language, "utf8");
  const three = english
    .replace("import type {", 'import { deDE, frFR } from "@clerk/localizations";\nimport type {')
    .replace("= { en: {} };", "= { en: {}, de: deDE, fr: frFR };");
  if (!/^import \{ deDE.*^export const languages.*fr: frFR/ms.test(three))
    throw new Error("language.ts has another form");
  await writeFile(language, three);
  // The settings of next.config.ts in JavaScript, which Next.js reads faster at each of the many starts. The packages are
  // those of the folder above, which then has to be the root; the types are checked once, where the source is.
  const config = join(builtApp, "next.config.ts");
  const text = await readFile(config, "utf8");
  const changed = text
    .replace(/^import type .*\n/, "")
    .replace("const config: NextConfig = {", "const config = { typescript: { ignoreBuildErrors: true },")
    .replace("root: import.meta.dirname", `root: ${JSON.stringify(companion)}`);
  if (!/^\s*(?:\/\/.*\s+)*const config = \{ typescript.*root: "/s.test(changed)) {
    throw new Error("next.config.ts has another form");
  }
  await rm(config);
  await writeFile(join(builtApp, "next.config.mjs"), changed);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href && !(await isBuilt())) {
  await copySources();
  const next = join(companion, "node_modules", "next", "dist", "bin", "next");
  const build = spawn(process.execPath, [next, "build"], {
    cwd: builtApp,
    stdio: "inherit",
    env: {
      ...process.env,
      NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY: publishableKey,
      NEXT_PUBLIC_CLERK_TELEMETRY_DISABLED: "1",
      NEXT_TELEMETRY_DISABLED: "1",
    },
  });
  build.on("exit", (status) => process.exit(status ?? 1));
}
