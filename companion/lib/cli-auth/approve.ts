// The consent form's route: the one place where a person's word becomes a code. It believes nothing of the page that
// was shown: the request is read again, and so are session and organisation.

import { readForm } from "./form";
import { issueCode } from "./grant";
import { countAddress, countPerson } from "./hourly";
import { plainPage } from "./plain-page";
import { type AuthorizeRequest, authorizePath, parseAuthorize, RETRY_PARAM, redirectUri, single } from "./request";
import { invalidRequest, OAuthError, toOAuthError } from "./respond";
import { browserSession } from "./session";
import { readSettings, type Settings } from "./settings";
import { openCounts } from "./store";

/** POST /api/cli-auth/approve */
export async function approve(request: Request): Promise<Response> {
  const asked: Asked = { path: undefined };
  try {
    return await decide(request, asked);
  } catch (error) {
    const { status, message, headers } = toOAuthError(error);
    // What was sent once is not sent again: the person is asked anew.
    const again = status === 503 && asked.path ? { again: asked.path } : {};
    return plainPage(request.headers, { status, message, headers, ...again });
  }
}

/** The page that the form is of, once that is known. */
type Asked = { path: string | undefined };

async function decide(request: Request, asked: Asked): Promise<Response> {
  const settings = readSettings();
  if (!sameOrigin(request, settings)) {
    throw new OAuthError(403, "invalid_request", `this form can only be sent from a page of ${settings.origin}`);
  }
  const form = await readForm(request);
  const authorizeRequest = parseAuthorize(form);
  asked.path = authorizePath(authorizeRequest);
  const decision = single(form, "decision");
  if (decision !== "approve" && decision !== "deny") throw invalidRequest("the parameter decision is missing or wrong");

  // The person decided about the account and the organisation on the page. If they are others by now, or if the session
  // ended while its cookie lives on, the person is asked again. The organisation is the session's, for which tokens are
  // minted; the cookie may name that of another tab.
  const session = await browserSession(settings, request.headers);
  if (session.state !== "signed in") return askAgain(settings, authorizeRequest);
  const { sid, sub, org } = session;
  if (sid !== single(form, "session") || org !== single(form, "organization"))
    return askAgain(settings, authorizeRequest);

  if (decision === "deny") return callback(settings, authorizeRequest, { error: "access_denied" });
  const counts = openCounts(settings);
  await countAddress(settings, counts, request.headers);
  await countPerson(settings, counts, sub);
  const code = await issueCode(settings, { sid, sub, org }, authorizeRequest);
  return callback(settings, authorizeRequest, { code });
}

// Without this another site could post the form for the person. A browser says where a form comes from; both headers
// are out of a page's reach.
export function sameOrigin(request: Request, settings: Settings): boolean {
  const site = request.headers.get("sec-fetch-site");
  return request.headers.get("origin") === settings.origin && (site === null || site === "same-origin");
}

function askAgain(settings: Settings, request: AuthorizeRequest): Response {
  return seeOther(`${settings.origin}${authorizePath(request)}&${RETRY_PARAM}=1`);
}

function callback(
  settings: Settings,
  request: AuthorizeRequest,
  outcome: { code: string } | { error: string },
): Response {
  const query = new URLSearchParams({ ...outcome, state: request.state, iss: settings.origin });
  return seeOther(`${redirectUri(request.port)}?${query}`);
}

// 303 and never 307: the browser must not send the form on.
export function seeOther(location: string): Response {
  return new Response(null, {
    status: 303,
    headers: { location, "cache-control": "no-store", "referrer-policy": "no-referrer" },
  });
}
