// Reading a posted form: its kind, its size, and each parameter at most once.

import { readLimited } from "./read";
import { BadParameter, single } from "./request";
import { invalidRequest, OAuthError } from "./respond";

const MAX_FORM = 16 * 1024;

export async function readForm(request: Request): Promise<URLSearchParams> {
  const type = request.headers.get("content-type") ?? "";
  if (!/^application\/x-www-form-urlencoded[\t ]*(?:;|$)/i.test(type)) {
    throw new OAuthError(415, "invalid_request", "the body must be application/x-www-form-urlencoded");
  }
  const body = await readLimited(request, MAX_FORM).catch(() => {
    throw invalidRequest("the body cannot be read");
  });
  if (body === undefined) throw new OAuthError(413, "invalid_request", "the body is too large");
  const params = new URLSearchParams(body);
  const names = new Set<string>();
  for (const [name] of params) {
    if (names.has(name)) {
      // The name comes from outside: it is repeated only where it is a plain word.
      throw /^[a-z_]{1,32}$/.test(name) ? new BadParameter(name) : invalidRequest("a parameter is given twice");
    }
    names.add(name);
  }
  return params;
}

/** The value of a parameter that must be there, once. */
export function required(form: URLSearchParams, name: string): string {
  const value = single(form, name);
  if (value === "") throw invalidRequest(`${name} is missing`);
  return value;
}
