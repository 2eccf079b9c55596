"use client";
// The parts of the consent page that a person acts on.

import { useAuth, useClerk } from "@clerk/nextjs";
import { type FormEvent, useEffect, useRef, useState } from "react";
import type { Organization } from "../../lib/cli-auth/clerk";
import type { Messages } from "../../lib/cli-auth/messages";
import { useHydrated } from "./hydrated";
import styles from "./page.module.css";

/** Approve and Deny: a plain form. */
export function Decision({ fields, messages }: { fields: [string, string][]; messages: Messages }) {
  const ready = useReady();
  const sent = useRef(false);
  useEffect(() => {
    const shownAgain = () => {
      sent.current = false;
    };
    window.addEventListener("pageshow", shownAgain);
    return () => window.removeEventListener("pageshow", shownAgain);
  }, []);
  const once = (event: FormEvent) => {
    if (sent.current) event.preventDefault();
    sent.current = true;
  };
  return (
    <form method="post" action="/api/cli-auth/approve" className={styles.decision} onSubmit={once}>
      {fields.map(([name, value]) => (
        <input key={name} type="hidden" name={name} value={value} />
      ))}
      <button type="submit" name="decision" value="deny" className={styles.deny}>
        {messages.deny}
      </button>
      {/* Not disabled: Tab would skip it. Until it is ready it is a button that does nothing. */}
      <button
        type={ready ? "submit" : "button"}
        name="decision"
        value="approve"
        className={styles.approve}
        aria-disabled={!ready}
      >
        {messages.approve}
      </button>
    </form>
  );
}

const SETTLE = 500; // ms

// Another page can make a person double-click and put this page under the second click. So Approve works only when the
// page has been in front for a moment.
function useReady(): boolean {
  const [ready, setReady] = useState(false);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const wait = () => {
      timer ??= setTimeout(() => setReady(true), SETTLE);
    };
    const stop = () => {
      clearTimeout(timer);
      timer = undefined;
      setReady(false);
    };
    if (document.hasFocus()) wait();
    window.addEventListener("focus", wait);
    window.addEventListener("blur", stop);
    // A pointer can be over a page that has not the focus yet.
    window.addEventListener("pointermove", wait);
    return () => {
      clearTimeout(timer);
      window.removeEventListener("focus", wait);
      window.removeEventListener("blur", stop);
      window.removeEventListener("pointermove", wait);
    };
  }, []);
  return ready;
}

function useLoaded(): boolean {
  const hydrated = useHydrated();
  const { isLoaded } = useAuth();
  return hydrated && isLoaded;
}

/** The organisation that the token will act in: the one active in the whole app, so choosing one switches it there. */
export function OrganizationSwitch(props: {
  self: string;
  current: string;
  organizations: Organization[];
  messages: Messages;
}) {
  const { self, current, organizations, messages } = props;
  const loaded = useLoaded();
  const { setActive } = useClerk();
  const [state, setState] = useState<"" | "switching" | "failed">("");
  const choose = async (id: string) => {
    setState("switching");
    try {
      await setActive({ organization: id || null });
      window.location.assign(self);
    } catch {
      setState("failed");
    }
  };
  const known = current === "" || organizations.some(({ id }) => id === current);
  return (
    <>
      <select
        aria-label={messages.organization}
        className={styles.organization}
        value={current}
        disabled={!loaded || state === "switching"}
        onChange={(event) => choose(event.target.value)}
      >
        {!known && <option value={current}>{current}</option>}
        {organizations.map(({ id, name }) => (
          <option key={id} value={id}>
            {name}
          </option>
        ))}
        <option value="">{messages.personal}</option>
      </select>
      <span className={styles.aside} role="status">
        {state === "switching" && messages.switching}
        {state === "failed" && messages.notSwitched}
      </span>
    </>
  );
}

/** Signs this session out and asks for a sign-in. */
export function AnotherAccount({ self, session, messages }: { self: string; session: string; messages: Messages }) {
  const loaded = useLoaded();
  const { signOut } = useClerk();
  return (
    <button
      type="button"
      className={styles.link}
      disabled={!loaded}
      onClick={() => signOut({ sessionId: session, redirectUrl: self })}
    >
      {messages.anotherAccount}
    </button>
  );
}
