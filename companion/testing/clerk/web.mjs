// The little HTTP that the stand-in needs: routes, bodies with a limit, a log without secrets, and faults on order.
import { createServer as createHttp } from "node:http";
import { createServer as createHttps } from "node:https";
import { listen } from "../port.mjs";

/** @typedef {import("node:http").IncomingMessage} Request */
/** @typedef {import("node:http").ServerResponse} Response */
/** @typedef {Record<string, any>} Body the members of a JSON object, or the fields of a form */
/**
 * @typedef {{ server: string, method: string, path: string, status: number, fault?: Fault["status"] }} Entry a request
 */
/**
 * @typedef {{ path: string, status: number | "drop" | "hang", method?: string, headers?: Record<string, string> }}
 *   Fault
 */
/**
 * @typedef {{ status?: number, json?: unknown, text?: string, raw?: string | Buffer, headers?: Record<string, string>
 *   }} Answer
 */
/** @typedef {{ request: Request, url: URL, method: string, body: Body, match: RegExpExecArray }} Asked */
/** @typedef {[method: string, pattern: RegExp, answer: (asked: Asked) => Answer | Promise<Answer>]} Route */

const maxBody = 64 * 1024;
const maxLog = 10_000;

/** An answer in the shape of Clerk's errors. */
export class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} message
   * @param {string} [param] the parameter that is wrong
   */
  constructor(status, code, message, param) {
    super(message);
    this.status = status;
    this.body = {
      errors: [{ code, message, long_message: message, meta: param ? { param_name: param } : {} }],
      clerk_trace_id: "stand-in",
    };
  }
}

/**
 * @param {Request} request
 * @returns {Promise<Body>}
 */
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
  /** @type {Entry[]} */
  entries = [];
  /** @type {(Fault & { left: number })[]} */
  faults = [];

  reset() {
    this.entries = [];
    this.faults = [];
  }

  /**
   * The next requests for a path, exact or up to a final *, go wrong: `status` is a number, "drop" (the connection is
   * cut) or "hang" (no answer).
   * @param {Fault & { times?: number }} fault
   */
  fault({ path, status, times = 1, method, headers = {} }) {
    if (typeof path !== "string" || !(status === "drop" || status === "hang" || Number.isInteger(status))) {
      throw new Refusal(422, "form_param_invalid", 'path, and a status, "drop" or "hang"');
    }
    this.faults.push({ path, status, left: times, method, headers });
  }

  /**
   * @param {string} method
   * @param {string} path
   */
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

  /** @param {Entry} entry */
  note(entry) {
    if (this.entries.length < maxLog) this.entries.push(entry);
  }
}

/**
 * A server on 127.0.0.1 and a port of the system's choice. A route may throw a Refusal in place of its answer. `before`
 * may answer before all routes, or refuse; `headers` are for every answer.
 * @param {object} options
 * @param {string} options.name
 * @param {Journal} options.journal
 * @param {Route[]} options.routes
 * @param {(asked: Pick<Asked, "request" | "url">) => Answer | void} [options.before]
 * @param {(request: Request) => Record<string, string>} [options.headers]
 * @param {{ cert: Buffer, key: Buffer }} [options.tls]
 */
export async function serve({ name, journal, routes, before, headers = () => ({}), tls }) {
  const answer = async (/** @type {Request} */ request, /** @type {Response} */ response) => {
    const url = new URL(request.url ?? "", "http://stand-in.invalid");
    // clerk-js sends every verb other than GET and POST as a POST with ?_method=.
    const sent = request.method ?? "";
    const method = sent === "POST" ? (url.searchParams.get("_method") ?? "POST") : sent;
    /** @type {Entry} */
    const entry = { server: name, method, path: url.pathname, status: 0 };
    journal.note(entry);

    const send = (/** @type {Answer} */ { status = 200, json, text, raw, headers: own = {} }) => {
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
      if (!route?.match) throw new Refusal(here.length > 0 ? 405 : 404, "resource_not_found", "not found");
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
  return { server, port: await listen(server) };
}
