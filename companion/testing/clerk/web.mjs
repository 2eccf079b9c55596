// The little HTTP that the stand-in needs: routes, bodies with a limit, a log without secrets, and faults on order.
import { createServer as createHttp } from "node:http";
import { createServer as createHttps } from "node:https";

const maxBody = 64 * 1024;
const maxLog = 10_000;

/** An answer in the shape of Clerk's errors. */
export class Refusal extends Error {
  constructor(status, code, message, param) {
    super(message);
    this.status = status;
    this.body = {
      errors: [{ code, message, long_message: message, meta: param ? { param_name: param } : {} }],
      clerk_trace_id: "stand-in",
    };
  }
}

async function readBody(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > maxBody) throw new Refusal(413, "request_too_large", "the body is too large");
    parts.push(part);
  }
  const text = Buffer.concat(parts).toString();
  if (text === "") return {};
  const type = request.headers["content-type"] ?? "";
  try {
    if (type.startsWith("application/json")) return JSON.parse(text);
  } catch {
    throw new Refusal(400, "request_body_invalid", "the body is not JSON");
  }
  return Object.fromEntries(new URLSearchParams(text));
}

/** What was asked and what must go wrong, shared by the servers of one stand-in. */
export class Journal {
  constructor() {
    this.reset();
  }

  reset() {
    this.entries = [];
    this.faults = [];
  }

  /**
   * The next requests for a path, exact or up to a final *, go wrong: `status` is a number, "drop" (the connection is
   * cut) or "hang" (no answer).
   */
  fault({ path, status, times = 1, method, headers = {} }) {
    if (typeof path !== "string" || !(status === "drop" || status === "hang" || Number.isInteger(status))) {
      throw new Refusal(422, "form_param_invalid", 'path, and a status, "drop" or "hang"');
    }
    this.faults.push({ path, status, left: times, method, headers });
  }

  takeFault(method, path) {
    const found = this.faults.find(
      (fault) =>
        fault.left > 0 &&
        (!fault.method || fault.method === method) &&
        (fault.path.endsWith("*") ? path.startsWith(fault.path.slice(0, -1)) : path === fault.path),
    );
    if (found) found.left -= 1;
    return found;
  }

  note(entry) {
    if (this.entries.length < maxLog) this.entries.push(entry);
  }
}

/**
 * A server on 127.0.0.1 and a port of the system's choice. `routes` are [method, pattern, answer]; an answer gets
 * {request, url, match, body, method} and returns {status, json | text | raw, headers}, or throws a Refusal.
 * `before` may answer in its place or refuse; `headers` are for every answer.
 */
export async function serve({ name, journal, routes, before, headers = () => ({}), tls }) {
  const answer = async (request, response) => {
    const url = new URL(request.url, "http://stand-in.invalid");
    // clerk-js sends every verb other than GET and POST as a POST with ?_method=.
    const method = request.method === "POST" ? (url.searchParams.get("_method") ?? "POST") : request.method;
    const entry = { server: name, method, path: url.pathname, status: 0 };
    journal.note(entry);

    const send = ({ status = 200, json, text, raw, headers: own = {} }) => {
      entry.status = status;
      const body = raw ?? text ?? (json === undefined ? "" : JSON.stringify(json));
      response.writeHead(status, {
        "cache-control": "no-store",
        "content-type": json === undefined ? "text/plain; charset=utf-8" : "application/json",
        ...headers(request),
        ...own,
      });
      response.end(request.method === "HEAD" ? "" : body);
    };

    try {
      const fault = name === "control" ? undefined : journal.takeFault(method, url.pathname);
      if (fault) {
        entry.fault = fault.status;
        if (fault.status === "hang") return;
        if (fault.status === "drop") {
          request.socket.destroy();
          return;
        }
        send({
          status: fault.status,
          json: { errors: [{ code: "fault", message: "a fault on order" }] },
          headers: fault.headers,
        });
        return;
      }
      const early = await before?.({ request, url });
      if (early) {
        send(early);
        return;
      }
      const here = routes
        .map(([verb, pattern, handler]) => ({ verb, handler, match: pattern.exec(url.pathname) }))
        .filter(({ match }) => match);
      const route = here.find(({ verb }) => verb === method);
      if (!route) throw new Refusal(here.length > 0 ? 405 : 404, "resource_not_found", "not found");
      const body = await readBody(request);
      send(await route.handler({ request, url, method, body, match: route.match }));
    } catch (error) {
      if (!(error instanceof Refusal)) console.error(error);
      if (response.headersSent) response.destroy();
      else if (error instanceof Refusal) send({ status: error.status, json: error.body });
      else send({ status: 500, json: { errors: [{ code: "internal", message: "the stand-in failed" }] } });
    }
  };

  const server = tls ? createHttps(tls, answer) : createHttp(answer);
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return server;
}
