"use client";
// What is shown to a browser whose session token does not name this app: it is renewed, with Clerk's own cookie, and the
// server is asked again. Who has the token and not that cookie is signed out for Clerk's script, and comes no further.

import { ClerkFailed, ClerkLoaded, ClerkLoading, useAuth, useClerk } from "@clerk/nextjs";
import { useEffect, useRef, useState } from "react";
import { fill, type Messages } from "../../lib/cli-auth/messages";
import { useHydrated } from "./hydrated";
import styles from "./page.module.css";
import { NotLoaded, SignInForm, Waiting } from "./sign-in";

/** Renews the session and goes to next. renewed says that this has just been done, and has changed nothing. */
export function Renewal(props: {
  self: string;
  next: string;
  renewed: boolean;
  hint: string;
  site: string;
  messages: Messages;
}) {
  const { self, next, renewed, hint, site, messages } = props;
  const hydrated = useHydrated();
  const { isLoaded, isSignedIn, sessionId, getToken } = useAuth();
  const { signOut } = useClerk();
  const [failed, setFailed] = useState(false);
  const asked = useRef(false);
  useEffect(() => {
    if (!isLoaded || !isSignedIn || renewed || asked.current) return;
    asked.current = true;
    // Clerk's script writes the new token into the cookie before it answers.
    getToken({ skipCache: true }).then(
      () => window.location.replace(next),
      () => setFailed(true),
    );
  }, [isLoaded, isSignedIn, renewed, next, getToken]);

  if (hydrated && isLoaded && isSignedIn && (renewed || failed)) {
    return (
      <>
        <h1>{messages.unusableHeading}</h1>
        <p className={styles.notice} role="alert">
          {failed ? `${fill(messages.unavailable, { site })} ${messages.nothing}` : fill(messages.otherSite, { site })}
        </p>
        <p className={styles.decision}>
          <button
            type="button"
            className={styles.deny}
            onClick={() => signOut({ sessionId: sessionId ?? undefined, redirectUrl: self })}
          >
            {messages.signInAgain}
          </button>
          <a className={styles.approve} href={self}>
            {messages.tryAgain}
          </a>
        </p>
      </>
    );
  }
  if (hydrated && isLoaded && !isSignedIn) return <SignInForm self={self} hint={hint} messages={messages} />;
  const waiting = <Waiting heading={messages.signInHeading} text={messages.renewing} />;
  if (!hydrated) return waiting;
  return (
    <>
      <ClerkFailed>
        <NotLoaded self={self} messages={messages} />
      </ClerkFailed>
      <ClerkLoading>{waiting}</ClerkLoading>
      <ClerkLoaded>{waiting}</ClerkLoaded>
    </>
  );
}
