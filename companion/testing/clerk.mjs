// A stand-in for Clerk, for tests without a network: the Backend API for the companion's server, the Frontend API for
// the real clerk-js in a browser, and a control interface for the test. It uses Node's own modules only and shares no
// code with the companion: what both got wrong would prove nothing.
//
//   node testing/clerk.mjs [--packages DIR]
//
// prints one line of JSON when it listens, and ends when its standard input closes. DIR holds the unpacked
// @clerk/clerk-js and @clerk/ui (see e2e/packages.mjs); without it everything works but a browser.
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { backendGuard, backendRoutes } from "./clerk/backend.mjs";
import { controlRoutes } from "./clerk/control.mjs";
import { frontendGuard, frontendHeaders, frontendRoutes } from "./clerk/frontend.mjs";
import { makeCertificate, startProxy } from "./clerk/transport.mjs";
import { Journal, serve } from "./clerk/web.mjs";
import { World } from "./clerk/world.mjs";

/** The instance's host: as of a real development instance, because clerk-js treats others differently. */
export const standardHost = "noted-lab-42.clerk.accounts.dev";

/** @typedef {Awaited<ReturnType<typeof startClerk>>} StandIn */

/**
 * Starts the stand-in; the answer's `ready` is what the command prints, `close` ends it.
 * @param {{ host?: string, packages?: string }} [options]
 */
export async function startClerk({ host = standardHost, packages } = {}) {
  const world = new World(host);
  const journal = new Journal();
  const certificate = await makeCertificate(host);
  /** @type {import("node:http").Server[]} */
  const servers = [];
  const close = async () => {
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
    await certificate.remove();
  };
  const start = async (/** @type {Omit<Parameters<typeof serve>[0], "journal">} */ options) => {
    const { server, port } = await serve({ journal, ...options });
    servers.push(server);
    return port;
  };
  try {
    const backend = await start({ name: "backend", routes: backendRoutes(world), before: backendGuard(world) });
    const frontend = await start({
      name: "frontend",
      routes: frontendRoutes(world, packages),
      before: frontendGuard,
      headers: frontendHeaders,
      tls: { cert: certificate.cert, key: certificate.key },
    });
    const control = await start({ name: "control", routes: controlRoutes(world, journal) });
    const proxy = await startProxy(host, frontend, journal);
    servers.push(proxy.server);
    return {
      ready: {
        backend: `http://127.0.0.1:${backend}`,
        frontend: `https://127.0.0.1:${frontend}`,
        proxy: `http://127.0.0.1:${proxy.port}`,
        control: `http://127.0.0.1:${control}`,
        ca: certificate.ca,
        spki: certificate.spki,
        issuer: world.issuer,
        publishableKey: world.publishableKey,
        secretKey: world.secretKey,
        machines: Object.fromEntries([...world.machines].map(([secret, id]) => [id, secret])),
        cookieSuffix: world.cookieSuffix,
        users: Object.fromEntries([...world.users.values()].map(({ id, email }) => [email, id])),
        organizations: Object.fromEntries([...world.organizations.values()].map(({ id, name }) => [name, id])),
      },
      journal,
      world,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { values } = parseArgs({ options: { packages: { type: "string" } } });
  const clerk = await startClerk({ packages: values.packages });
  const end = () => clerk.close().then(() => process.exit(0));
  process.stdin.resume().on("end", end).on("error", end);
  process.on("SIGTERM", end).on("SIGINT", end);
  console.log(JSON.stringify(clerk.ready));
}
