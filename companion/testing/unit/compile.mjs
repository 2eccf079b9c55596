// Makes JavaScript of lib/cli-auth for the unit tests: Node runs no TypeScript in the oldest release that Next.js runs on.

import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import ts from "typescript";

const companion = join(import.meta.dirname, "..", "..");

/** Compiles the library; `load` gives one of its files, `remove` takes everything away. */
export async function compileLibrary() {
  // Below node_modules, so that the compiled files find the same packages.
  const cache = join(companion, "node_modules", ".cache");
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, "cli-auth-"));
  await writeFile(join(folder, "package.json"), '{"type":"commonjs"}');
  const source = join(companion, "lib", "cli-auth");
  for (const name of await readdir(source, { recursive: true })) {
    if (!name.endsWith(".ts")) continue;
    const { outputText } = ts.transpileModule(await readFile(join(source, name), "utf8"), {
      fileName: name,
      compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.CommonJS, esModuleInterop: true },
    });
    const compiled = join(folder, name.replace(/\.ts$/, ".js"));
    await mkdir(dirname(compiled), { recursive: true });
    await writeFile(compiled, outputText);
  }
  const require = createRequire(join(folder, "package.json"));
  return {
    load: (name) => require(`./${name}.js`),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
