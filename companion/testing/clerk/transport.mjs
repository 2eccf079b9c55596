// How others reach the stand-in under the issuer's real name: a certificate for it, and a proxy that leads there.
import { execFile } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { listen } from "../port.mjs";

/**
 * A certificate for `host`, which signs for itself: its file serves as the root that clients must trust.
 * @param {string} host
 */
export async function makeCertificate(host) {
  const folder = await mkdtemp(join(tmpdir(), "clerk-stand-in-"));
  const ca = join(folder, "ca.pem");
  const keyFile = join(folder, "key.pem");
  try {
    await promisify(execFile)(
      "openssl",
      [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        `/CN=${host}`,
        "-addext",
        `subjectAltName=DNS:${host},IP:127.0.0.1`,
        "-addext",
        "extendedKeyUsage=serverAuth",
        "-keyout",
        keyFile,
        "-out",
        ca,
      ],
      { timeout: 30_000 },
    );
    const [cert, key] = await Promise.all([readFile(ca), readFile(keyFile)]);
    const spki = new X509Certificate(cert).publicKey.export({ type: "spki", format: "der" });
    await rm(keyFile);
    return {
      ca,
      cert,
      key,
      spki: createHash("sha256").update(spki).digest("base64"),
      remove: () => rm(folder, { recursive: true, force: true }),
    };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/**
 * An HTTP proxy that connects HOST:443 with a local port and refuses everything else.
 * @param {string} host
 * @param {number} port
 * @param {import("./web.mjs").Journal} journal
 */
export async function startProxy(host, port, journal) {
  const server = createServer((_, response) => {
    response.writeHead(403).end();
  });
  server.on("connect", (request, socket, head) => {
    const allowed = request.url === `${host}:443`;
    journal.note({ server: "proxy", method: "CONNECT", path: request.url ?? "", status: allowed ? 200 : 403 });
    socket.on("error", () => socket.destroy());
    if (!allowed) {
      socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
      return;
    }
    const upstream = connect(port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      upstream.write(head);
      upstream.pipe(socket).pipe(upstream);
    });
    upstream.on("error", () => socket.destroy());
    socket.on("close", () => upstream.destroy());
    upstream.on("close", () => socket.destroy());
  });
  return { server, port: await listen(server) };
}
