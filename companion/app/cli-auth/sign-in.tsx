"use client";
// Clerk's own sign-in form, and what stands in its place while it is not there.

import { ClerkFailed, ClerkLoading, SignIn } from "@clerk/nextjs";
import { useHydrated } from "./hydrated";
import styles from "./page.module.css";

/** Signs in and comes back to the same request. hint is the account that is expected, if any. */
export function SignInForm({ self, hint }: { self: string; hint: string }) {
  const waiting = (
    <p className={styles.waiting} role="status">
      Loading the sign-in form…
    </p>
  );
  if (!useHydrated()) return <div className={styles.signIn}>{waiting}</div>;
  return (
    <div className={styles.signIn}>
      <ClerkLoading>{waiting}</ClerkLoading>
      <ClerkFailed>
        <p className={styles.notice} role="alert">
          The sign-in form cannot be loaded. Check your connection and <a href={self}>try again</a>.
        </p>
      </ClerkFailed>
      <SignIn
        routing="hash"
        forceRedirectUrl={self}
        signUpForceRedirectUrl={self}
        initialValues={hint ? (hint.includes("@") ? { emailAddress: hint } : { username: hint }) : {}}
        appearance={appearance}
      />
    </div>
  );
}

// Clerk's form takes the colours of the page, in the light and in the dark. (Names without a prefix are Clerk's own: a
// variable --accent of ours would refer to itself inside its buttons.)
const appearance = {
  variables: {
    colorBackground: "var(--cli-card)",
    colorForeground: "var(--cli-text)",
    colorMutedForeground: "var(--cli-soft)",
    colorPrimary: "var(--cli-accent)",
    colorPrimaryForeground: "var(--cli-on-accent)",
    colorInput: "var(--cli-ground)",
    colorInputForeground: "var(--cli-text)",
    colorNeutral: "var(--cli-text)",
    colorDanger: "var(--cli-bad)",
    fontFamily: "inherit",
  },
  elements: {
    rootBox: { width: "100%" },
    cardBox: {
      width: "100%",
      maxWidth: "100%",
      border: "none",
      borderRadius: 0,
      boxShadow: "none",
      overflow: "visible",
    },
    card: { padding: "8px 0", border: "none", borderRadius: 0, boxShadow: "none", overflow: "visible" },
    headerTitle: { fontSize: "18px" },
    footer: { background: "none" },
  },
};
