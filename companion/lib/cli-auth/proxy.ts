// What stands in front of the pages and routes, in the app's proxy.ts:
//
//     export default withCliAuth(clerkMiddleware(...));
//
// A page can set neither its status nor its headers, so both are set here.

import { type ClerkMiddlewareOptions, clerkMiddleware } from "@clerk/nextjs/server";
import { type NextFetchEvent, type NextMiddleware, NextRequest, NextResponse } from "next/server";
import { pageHeaders, plainPage } from "./plain-page";
import { CHECKED_HEADER, MACHINES_PATH, parseQuery, RETRY_PARAM } from "./request";
import { toOAuthError } from "./respond";
import { refuseAuthorization } from "./session";
import { readSettings } from "./settings";

/**
 * Adds the companion page to an app's proxy function. Our own paths never reach that function: an app that asks for a
 * sign-in everywhere would otherwise ask the helper for one. options are for the clerkMiddleware of our own paths.
 */
export function withCliAuth(app: NextMiddleware, options: ClerkMiddlewareOptions = {}): NextMiddleware {
  const clerk = clerkMiddleware((_, request) => {
    const headers = new Headers(request.headers);
    headers.set(CHECKED_HEADER, "1");
    return NextResponse.next({ request: { headers } });
  }, options);
  return (request, event) => {
    switch (request.nextUrl.pathname) {
      case "/cli-auth":
        return page(request, event, clerk, () => parseQuery(request.nextUrl.search).port);
      case MACHINES_PATH:
        return page(request, event, clerk, () => undefined);
      case "/api/cli-auth/approve":
      case "/api/cli-auth/machines":
        return clerk(request, event);
      case "/api/cli-auth/token":
      case "/api/cli-auth/revoke":
      case "/.well-known/oauth-authorization-server":
      case "/.well-known/clerk-credential-helper.json":
        return NextResponse.next(); // for programs, without a session
    }
    return app(request, event);
  };
}

/** One of our pages. port checks the request and tells where its form may lead to, besides this app. */
async function page(
  request: NextRequest,
  event: NextFetchEvent,
  clerk: NextMiddleware,
  port: () => number | undefined,
): Promise<Response> {
  // Clerk's sign-in calls a server action of Next's on the page it stands on.
  const read = request.method === "GET" || request.method === "HEAD";
  if (!read && !(request.method === "POST" && request.headers.has("next-action"))) {
    return plainPage(request.headers, {
      status: 405,
      message: "this page is only for reading",
      headers: { allow: "GET, HEAD" },
    });
  }
  // The page must be a document of its own, with the headers below. Next's router fetches the parts of a page into the
  // document that is open; refused, it loads the page instead.
  const destination = request.headers.get("sec-fetch-dest");
  if (read && destination !== null && destination !== "document") {
    return plainPage(request.headers, { status: 400, message: "this page can only be opened by itself" });
  }
  let headers: Record<string, string>;
  try {
    readSettings(); // a page that leads nowhere is of no use: the first visitor is the one who sets it up
    refuseAuthorization(request.headers);
    headers = pageHeaders(port());
  } catch (error) {
    const { status, message } = toOAuthError(error);
    return plainPage(request.headers, { status, message });
  }
  const response = await clerk(withoutHandshake(request), event);
  if (!response) throw new Error("clerkMiddleware answered nothing");
  for (const [name, value] of Object.entries(headers)) response.headers.set(name, value);
  return response;
}

// Clerk renews an old session cookie by a redirect to its Frontend API. After the consent form that redirect would be
// refused by the page's form-action; told that this is no document, Clerk leaves it to the script on the page.
function withoutHandshake(request: NextRequest): NextRequest {
  if (!request.nextUrl.searchParams.has(RETRY_PARAM)) return request;
  const headers = new Headers(request.headers);
  headers.set("sec-fetch-dest", "empty");
  return new NextRequest(request, { headers });
}
