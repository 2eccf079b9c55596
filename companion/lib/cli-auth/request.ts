// What the helper may ask for, parsed strictly: every parameter has one allowed form, and any other is refused. The
// authorize page and the consent form's route both read it, and neither trusts the other to have done so.

export const CLIENT_ID = "clerk-credential-helper";
const MAX_QUERY = 8 * 1024;

/** A header of requests that the proxy function has checked. The consent page is not shown without it. */
export const CHECKED_HEADER = "x-cli-auth-checked";

/** A parameter of a request that the person is asked about a second time. */
export const RETRY_PARAM = "again";

/** A parameter of a request for which the page has had the browser's session renewed: when, in seconds. */
export const RENEWED_PARAM = "renewed";

/** A sign-in that a helper asks for. */
export type AuthorizeRequest = {
  /** The loopback port. The redirect is built from it; the address that came in is never used again. */
  port: number;
  state: string;
  challenge: string;
  /** What the machine calls itself: untrusted text. */
  machine: string;
  /** The account that the helper expects: untrusted text. */
  loginHint: string;
};

/** The name of a parameter that is missing or wrong. Its value is never repeated. */
export class BadParameter extends Error {
  constructor(readonly parameter: string) {
    super(`the parameter ${parameter} is missing or wrong`);
  }
}

type Name =
  | "response_type"
  | "client_id"
  | "redirect_uri"
  | "state"
  | "code_challenge"
  | "code_challenge_method"
  | "machine_name"
  | "login_hint";

/** Reads the query of an authorize request, with or without its question mark. */
export function parseQuery(search: string): AuthorizeRequest {
  if (search.length > MAX_QUERY) throw new BadParameter("query");
  return parseAuthorize(new URLSearchParams(search));
}

/** Reads an authorize request. Names that are not ours are ignored (RFC 6749 §3.1). */
export function parseAuthorize(params: URLSearchParams): AuthorizeRequest {
  const get = (name: Name) => single(params, name);
  const check = (name: Name, allowed: RegExp) => {
    const value = get(name);
    if (!allowed.test(value)) throw new BadParameter(name);
    return value;
  };
  check("response_type", /^code$/);
  if (get("client_id") !== CLIENT_ID) throw new BadParameter("client_id");
  const port = parseRedirect(get("redirect_uri"));
  if (port === undefined) throw new BadParameter("redirect_uri");
  const state = check("state", /^[A-Za-z0-9_-]{43}$/);
  const challenge = check("code_challenge", /^[A-Za-z0-9_-]{43}$/);
  check("code_challenge_method", /^S256$/); // never plain: that would be the verifier itself, in a URL
  return { port, state, challenge, machine: label(get, "machine_name", 64), loginHint: label(get, "login_hint", 320) };
}

/** The value of a parameter that may stand once; empty where it is left out. */
export function single(params: URLSearchParams, name: string): string {
  const values = params.getAll(name);
  if (values.length > 1) throw new BadParameter(name);
  return values[0] ?? "";
}

/** The port of http://127.0.0.1:PORT/callback, and of nothing that only resembles it. */
export function parseRedirect(uri: string): number | undefined {
  const digits = /^http:\/\/127\.0\.0\.1:([1-9][0-9]{3,4})\/callback$/.exec(uri)?.[1];
  const port = Number(digits);
  return port >= 1024 && port <= 65535 ? port : undefined;
}

// A label is shown to a person who decides by it. Control and format characters are out because they can turn the order
// of the letters round or hide some of them; a label of spaces only would look like none.
function label<Name extends string>(get: (name: Name) => string, name: Name, max: number): string {
  const value = get(name);
  if (value === "") return "";
  if ([...value].length > max || /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(value) || /^\p{Zs}*$/u.test(value)) {
    throw new BadParameter(name);
  }
  return value;
}

/** The parameters of a request again, for the consent form and for the way back to the page. */
export function parameters(request: AuthorizeRequest): [string, string][] {
  const all: [string, string][] = [
    ["response_type", "code"],
    ["client_id", CLIENT_ID],
    ["redirect_uri", redirectUri(request.port)],
    ["state", request.state],
    ["code_challenge", request.challenge],
    ["code_challenge_method", "S256"],
    ["machine_name", request.machine],
    ["login_hint", request.loginHint],
  ];
  return all.filter(([, value]) => value !== "");
}

/** The path of the authorize page with a request's parameters. */
export function authorizePath(request: AuthorizeRequest): string {
  return `/cli-auth?${new URLSearchParams(parameters(request))}`;
}

/** The path of the page with the machines that are signed in. */
export const MACHINES_PATH = "/cli-auth/machines";

/** The redirect address, built from a number. */
export function redirectUri(port: number): string {
  return `http://127.0.0.1:${port}/callback`;
}
