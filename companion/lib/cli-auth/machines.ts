// The machines that are signed in for a person, and the form that signs them out. As with the consent form, nothing is
// believed of the page that was shown: whose grants they are is asked again.

import { sameOrigin, seeOther } from "./approve";
import { readForm, required } from "./form";
import { endGrant } from "./grant";
import { plainPage } from "./plain-page";
import { MACHINES_PATH, RETRY_PARAM } from "./request";
import { OAuthError, toOAuthError } from "./respond";
import { browserSession } from "./session";
import { readSettings } from "./settings";
import { openGrants, openStore } from "./store";

/** The value of the form's field "grant" that stands for all of the person's grants. */
export const ALL = "all";

/** POST /api/cli-auth/machines */
export async function signOutMachines(request: Request): Promise<Response> {
  try {
    return await signOut(request);
  } catch (error) {
    const { status, message, headers } = toOAuthError(error);
    return plainPage(request.headers, { status, message, headers, again: MACHINES_PATH });
  }
}

async function signOut(request: Request): Promise<Response> {
  const settings = readSettings();
  if (!sameOrigin(request, settings)) {
    throw new OAuthError(403, "invalid_request", `this form can only be sent from a page of ${settings.origin}`);
  }
  const [store, grants] = [openStore(settings), openGrants(settings)];
  if (!store || !grants) throw new OAuthError(404, "invalid_request", "this app keeps no list of machines");
  const form = await readForm(request);
  const wanted = required(form, "grant");
  const shownTo = required(form, "session");

  // The page was shown to the person of this session, and the list is theirs. What is not on it, be it another person's
  // or none at all, is answered as what was signed out already.
  const session = await browserSession(settings, request.headers);
  if (session.state === "signed in" && session.sid === shownTo) {
    const listed = await grants.list(session.sub);
    for (const { family } of listed) {
      if (wanted === ALL || wanted === family) await endGrant(store, grants, session.sub, family);
    }
  }
  return seeOther(`${settings.origin}${MACHINES_PATH}?${RETRY_PARAM}=1`);
}
