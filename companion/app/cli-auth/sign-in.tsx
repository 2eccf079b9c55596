"use client";
// Clerk's own sign-in form, and what stands in its place while it is not there.

import { ClerkFailed, ClerkLoading, SignIn } from "@clerk/nextjs";
import type { Messages } from "../../lib/cli-auth/messages";
import { useHydrated } from "./hydrated";
import styles from "./page.module.css";

/** Signs in and comes back to the same request. hint is the account that is expected, if any. */
export function SignInForm({ self, hint, messages }: { self: string; hint: string; messages: Messages }) {
  const waiting = <Waiting heading={messages.signInHeading} text={messages.loading} />;
  if (!useHydrated()) return <div className={styles.signIn}>{waiting}</div>;
  return (
    <div className={styles.signIn}>
      <ClerkLoading>{waiting}</ClerkLoading>
      <ClerkFailed>
        <NotLoaded self={self} messages={messages} />
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

/** What stands where the form will be. The heading of the page is the form's own, once it is there. */
export function Waiting({ heading, text }: { heading: string; text: string }) {
  return (
    <div className={styles.waiting}>
      <h1>{heading}</h1>
      <p role="status">{text}</p>
    </div>
  );
}

/** What stands there if Clerk's script does not come. */
export function NotLoaded({ self, messages }: { self: string; messages: Messages }) {
  return (
    <>
      <h1>{messages.signInHeading}</h1>
      <p className={styles.notice} role="alert">
        {messages.noForm}
      </p>
      <p className={styles.decision}>
        <a className={styles.approve} href={self}>
          {messages.tryAgain}
        </a>
      </p>
    </>
  );
}

// A control's edge stands out from what is around it (WCAG 2.2, 1.4.11: 3 to 1), which Clerk's own does not.
const edge = { border: "1px solid var(--cli-control)", boxShadow: "none" };
const focused = { ...edge, outline: "3px solid var(--cli-accent)", outlineOffset: "1px" };
const control = { ...edge, "&:hover": edge, "&:focus": focused };

// The boxes of a code that was sent. They are drawn beside the one field that has the focus, and Clerk's rules for them
// name an attribute.
const box = {
  '&[data-variant="default"]': edge,
  '&[data-variant="default"]:hover': edge,
  '&[data-variant="default"][data-focus-within="true"]': focused,
  '&[data-variant="default"][aria-invalid="true"]': { ...edge, borderColor: "var(--cli-bad)" },
};

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
    header: { textAlign: "start" },
    headerTitle: { fontSize: "22px", lineHeight: 1.25, textAlign: "start" },
    // The application stands above, and the sentence before the form says more than "Welcome back!".
    headerSubtitle: { display: "none" },
    logoBox: { display: "none" },
    formFieldInput: control,
    otpCodeFieldInput: box,
    socialButtonsBlockButton: control,
    socialButtonsIconButton: control,
    footer: { background: "none" },
  },
};
