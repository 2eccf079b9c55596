"use client";
// What is shown to a browser whose session token does not name this app: it is renewed, with Clerk's own cookie, and the
// server is asked again. Who has the token and not that cookie is signed out for Clerk's script, and comes no further.

import { ClerkFailed, useAuth, useClerk } from "@clerk/nextjs";
import { useEffect, useRef, useState } from "react";
import { useHydrated } from "./hydrated";
import styles from "./page.module.css";
import { SignInForm } from "./sign-in";

/** Renews the session and goes to next. renewed says that this has just been done, and has changed nothing. */
export function Renewal(props: { self: string; next: string; renewed: boolean; hint: string; site: string }) {
  const { self, next, renewed, hint, site } = props;
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
        <h1>Your session cannot be used here</h1>
        <p className={styles.notice} role="alert">
          {failed
            ? "Clerk does not answer. Nothing was granted."
            : `Clerk's session in this browser does not say that it is for ${site}. Nothing was granted.`}
        </p>
        <p className={styles.end}>
          <a href={self}>Try again</a>, or{" "}
          <button
            type="button"
            className={styles.link}
            onClick={() => signOut({ sessionId: sessionId ?? undefined, redirectUrl: self })}
          >
            sign in again
          </button>
          .
        </p>
      </>
    );
  }
  return (
    <>
      <h1>Sign in to go on</h1>
      {hydrated && isLoaded && !isSignedIn ? (
        <SignInForm self={self} hint={hint} />
      ) : (
        <p className={styles.waiting} role="status">
          Renewing your session…
        </p>
      )}
      {hydrated && (
        <ClerkFailed>
          <p className={styles.notice} role="alert">
            Clerk&rsquo;s script cannot be loaded. Check your connection and <a href={self}>try again</a>.
          </p>
        </ClerkFailed>
      )}
    </>
  );
}
