// The Express server of docs/backends.md, as it stands there, with the clients that it is for. The Next.js code of that
// page is in the new app of fresh.mjs.
//
//   node --test testing/snippets.mjs
import { createPublicKey } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import ts from "typescript";
import { startClerk } from "./clerk.mjs";
import { missingClients, snippet, tryServer } from "./clients.mjs";
import { Children } from "./e2e/processes.mjs";
import { listen } from "./port.mjs";

test("Express", { skip: missingClients(), timeout: 60_000 }, async (t) => {
  const children = new Children();
  const clerk = await startClerk();
  // Below node_modules, so that it finds its packages.
  const cache = join(import.meta.dirname, "..", "node_modules", ".cache");
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, "express-"));
  const server = createServer();
  t.after(async () => {
    await children.stop();
    server.closeAllConnections();
    server.close();
    await clerk.close();
    await rm(folder, { recursive: true, force: true });
  });
  Object.assign(process.env, {
    CLERK_PUBLISHABLE_KEY: clerk.ready.publishableKey,
    CLERK_SECRET_KEY: clerk.ready.secretKey,
    CLERK_API_URL: clerk.ready.backend,
    CLERK_JWT_KEY: createPublicKey(clerk.world.key).export({ type: "spki", format: "pem" }),
    CLERK_TELEMETRY_DISABLED: "1",
    CLI_CLIENT_ID: "clerk-credential-helper-test",
  });
  const { outputText } = ts.transpileModule(`${await snippet("express()")}\nexport { app }\n`, {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ES2022 },
  });
  const file = join(folder, "server.mjs");
  await writeFile(file, outputText);
  const { app } = await import(pathToFileURL(file).href);
  server.on("request", app);
  const port = await listen(server);
  await tryServer({ address: `http://127.0.0.1:${port}/me`, clerk, children, folder });
});
