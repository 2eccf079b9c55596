// Builds the app for the stand-in's publishable key, if the build that is there is older than its source.

import { spawn } from "node:child_process";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const companion = join(import.meta.dirname, "..", "..");

/** Next.js puts this key into the build; everything else is read when the app runs. */
export const publishableKey = "pk_test_bm90ZWQtbGFiLTQyLmNsZXJrLmFjY291bnRzLmRldiQ";

async function newest(path) {
  const entry = await stat(path);
  if (!entry.isDirectory()) return entry.mtimeMs;
  const times = await Promise.all((await readdir(path)).map((name) => newest(join(path, name))));
  return Math.max(0, ...times);
}

export async function isBuilt() {
  const built = await stat(join(companion, ".next", "BUILD_ID")).catch(() => undefined);
  const source = ["app", "lib", "proxy.ts", "next.config.ts", "package-lock.json", "package.json"];
  const times = await Promise.all(source.map((name) => newest(join(companion, name))));
  return built !== undefined && built.mtimeMs > Math.max(...times);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href && !(await isBuilt())) {
  const next = join(companion, "node_modules", "next", "dist", "bin", "next");
  const build = spawn(process.execPath, [next, "build"], {
    cwd: companion,
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
