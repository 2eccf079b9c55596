// Ports for servers that must be told their own origin before they listen, as Next.js must.
import { createServer } from "node:net";

/** A port that no other program gets until it is released. */
export async function takePort() {
  const server = createServer();
  await new Promise((done, fail) => server.once("error", fail).listen(0, "127.0.0.1", done));
  server.unref();
  return { port: server.address().port, release: () => new Promise((done) => server.close(done)) };
}

/** Starts a server on a port. Another program may take it between its release and its use, so there are three attempts. */
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
