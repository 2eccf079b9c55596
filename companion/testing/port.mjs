// Ports for servers that must be told their own origin before they listen, as Next.js must.
import { createServer } from "node:net";

/** A port that no other program gets until it is released. */
export async function takePort() {
  const server = createServer();
  const port = await listen(server);
  server.unref();
  return { port, release: () => new Promise((done) => server.close(done)) };
}

/**
 * Lets a server listen on 127.0.0.1, at a port of the system's choice.
 * @param {import("node:net").Server} server
 * @returns {Promise<number>} the port
 */
export async function listen(server) {
  await new Promise((done, fail) => server.once("error", fail).listen(0, "127.0.0.1", () => done(undefined)));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return address.port;
}

/**
 * Starts a server on a port. Another program may take it between its release and its use, so there are three attempts.
 * @template T
 * @param {(port: number) => Promise<T>} start
 * @returns {Promise<T>}
 */
export async function onFreePort(start) {
  for (let attempt = 1; ; attempt += 1) {
    const { port, release } = await takePort();
    await release();
    try {
      return await start(port);
    } catch (error) {
      if (attempt === 3 || !String(error).includes("EADDRINUSE")) throw error;
    }
  }
}
