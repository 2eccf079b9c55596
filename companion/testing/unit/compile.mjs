// Makes JavaScript of lib/cli-auth for the unit tests: Node runs no TypeScript in the oldest release that Next.js runs on.

import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const companion = join(import.meta.dirname, "..", "..");
// Below node_modules, so that the compiled files find the same packages.
const cache = join(companion, "node_modules", ".cache", "cli-auth");

/**
 * @typedef {{
 *   "ci": typeof import("../../lib/cli-auth/ci"),
 *   "hourly": typeof import("../../lib/cli-auth/hourly"),
 *   "keys": typeof import("../../lib/cli-auth/keys"),
 *   "messages": typeof import("../../lib/cli-auth/messages"),
 *   "policy": typeof import("../../lib/cli-auth/policy"),
 *   "read": typeof import("../../lib/cli-auth/read"),
 *   "request": typeof import("../../lib/cli-auth/request"),
 *   "respond": typeof import("../../lib/cli-auth/respond"),
 *   "seal": typeof import("../../lib/cli-auth/seal"),
 *   "settings": typeof import("../../lib/cli-auth/settings"),
 *   "store": typeof import("../../lib/cli-auth/store"),
 *   "stores/interface": typeof import("../../lib/cli-auth/stores/interface"),
 *   "stores/rest": typeof import("../../lib/cli-auth/stores/rest"),
 *   "stores/setting": typeof import("../../lib/cli-auth/stores/setting"),
 *   "token": typeof import("../../lib/cli-auth/token"),
 * }} Library the files that the tests load
 */

/** Compiles the library, once for all test files; `load` gives one of its files. */
export async function compileLibrary() {
  const source = join(companion, "lib", "cli-auth");
  const names = (await readdir(source, { recursive: true })).filter((name) => name.endsWith(".ts"));
  const files = await Promise.all(
    names.map(async (name) => ({ name, text: await readFile(join(source, name), "utf8") })),
  );
  const hash = createHash("sha256").update(await readFile(import.meta.filename));
  const folder = join(cache, hash.update(JSON.stringify(files)).digest("hex").slice(0, 16));
  if (!(await stat(folder).catch(() => undefined))) await compile(files, folder);
  const require = createRequire(join(folder, "package.json"));
  /** @type {<Name extends keyof Library>(name: Name) => Library[Name]} */
  const load = (name) => require(`./${name}.js`);
  return { load };
}

/**
 * @param {{ name: string, text: string }[]} files
 * @param {string} folder
 */
async function compile(files, folder) {
  const { default: ts } = await import("typescript");
  await mkdir(cache, { recursive: true });
  const fresh = await mkdtemp(join(cache, "fresh-"));
  await writeFile(join(fresh, "package.json"), '{"type":"commonjs"}');
  for (const { name, text } of files) {
    const { outputText } = ts.transpileModule(text, {
      fileName: name,
      compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.CommonJS, esModuleInterop: true },
    });
    const compiled = join(fresh, name.replace(/\.ts$/, ".js"));
    await mkdir(dirname(compiled), { recursive: true });
    await writeFile(compiled, outputText);
  }
  // Another test file may have been faster; its files are the same.
  await rename(fresh, folder).catch(() => rm(fresh, { recursive: true, force: true }));
}
