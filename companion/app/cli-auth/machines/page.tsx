// The machines that are signed in for a person. It decides nothing; the form's route reads everything again.

import { ClerkProvider } from "@clerk/nextjs";
import type { Metadata } from "next";
import { headers } from "next/headers";
import { type ReactNode, Suspense } from "react";
import { ClerkUnavailable, type Organization, organizations } from "../../../lib/cli-auth/clerk";
import { ALL } from "../../../lib/cli-auth/machines";
import { CHECKED_HEADER, MACHINES_PATH, RENEWED_PARAM } from "../../../lib/cli-auth/request";
import { now } from "../../../lib/cli-auth/seal";
import { browserSession } from "../../../lib/cli-auth/session";
import { readSettings, type Settings } from "../../../lib/cli-auth/settings";
import { openGrants } from "../../../lib/cli-auth/store";
import { type Grants, type ListedGrant, StoreError } from "../../../lib/cli-auth/stores/interface";
import styles from "../page.module.css";
import { Renewal } from "../renewal";
import { SignInForm } from "../sign-in";

export const metadata: Metadata = { title: "Machines signed in", robots: { index: false } };

type Props = { searchParams: Promise<Record<string, string | string[] | undefined>> };

// Everything here is of this one request, which an app with cacheComponents wants to be told by Suspense.
export default function Page(props: Props) {
  return (
    <Suspense fallback={<main className={styles.page} aria-busy="true" />}>
      <Machines {...props} />
    </Suspense>
  );
}

async function Machines({ searchParams }: Props) {
  const incoming = await headers();
  if (incoming.get(CHECKED_HEADER) !== "1") {
    // Without it the page has no headers against framing.
    throw new Error(`cli-auth: proxy.ts does not call withCliAuth, or its matcher leaves ${MACHINES_PATH} out`);
  }
  const settings = readSettings();
  const site = new URL(settings.origin).host;
  const grants = openGrants(settings);
  if (!grants) return <NotKept site={site} />;
  try {
    const session = await browserSession(settings, incoming);
    switch (session.state) {
      case "signed in":
        return <Listed site={site} session={session.sid} {...(await readList(settings, grants, session.sub))} />;
      case "renew":
        return <Renew site={site} renewed={Number((await searchParams)[RENEWED_PARAM])} />;
      case "signed out":
        return <SignedOut site={site} />;
    }
  } catch (error) {
    if (!(error instanceof ClerkUnavailable || error instanceof StoreError)) throw error;
    console.error(`cli-auth: ${error.message}`);
    return <Unavailable site={site} what={error instanceof StoreError ? "The store of this page" : "Clerk"} />;
  }
}

async function readList(settings: Settings, grants: Grants, sub: string) {
  const [listed, memberships] = await Promise.all([grants.list(sub), organizations(settings, sub)]);
  return { listed: listed.sort((a, b) => b.used - a.used), memberships };
}

type ListProps = { site: string; session: string; listed: ListedGrant[]; memberships: Organization[] };

function Listed({ site, session, listed, memberships }: ListProps) {
  const organization = (id: string) =>
    id === "" ? "Personal account" : (memberships.find((item) => item.id === id)?.name ?? id);
  return (
    <Frame site={site}>
      <h1>Machines signed in</h1>
      {listed.length === 0 && <p role="status">No machine is signed in as you.</p>}
      {listed.map(({ family, machine, org, created, used }) => (
        <section key={family} aria-label={machine || "A computer that gave no name"}>
          <dl className={styles.facts}>
            <div>
              <dt>Machine</dt>
              <dd>
                {machine ? (
                  <>
                    <span className={styles.quoted}>
                      “<bdi>{machine}</bdi>”
                    </span>
                    <span className={styles.aside}>its own words, not verified</span>
                  </>
                ) : (
                  "a computer that gave no name"
                )}
              </dd>
            </div>
            <div>
              <dt>Organisation</dt>
              <dd>
                <bdi>{organization(org)}</bdi>
              </dd>
            </div>
            <div>
              <dt>Signed in</dt>
              <dd>
                <Moment at={created} />
              </dd>
            </div>
            <div>
              <dt>Last token</dt>
              <dd>
                <Moment at={used} />
              </dd>
            </div>
          </dl>
          <SignOut session={session} grant={family}>
            Sign out this machine
          </SignOut>
        </section>
      ))}
      {listed.length > 1 && (
        <SignOut session={session} grant={ALL}>
          Sign out all machines
        </SignOut>
      )}
      <p className={styles.end}>
        A machine that is signed out gets no further token. One that it has lives to its end.
      </p>
    </Frame>
  );
}

function SignOut({ session, grant, children }: { session: string; grant: string; children: ReactNode }) {
  return (
    <form method="post" action="/api/cli-auth/machines" className={styles.decision}>
      <input type="hidden" name="session" value={session} />
      <button type="submit" name="grant" value={grant} className={styles.deny}>
        {children}
      </button>
    </form>
  );
}

const MOMENT = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });

function Moment({ at }: { at: number }) {
  const date = new Date(at * 1000);
  return <time dateTime={date.toISOString()}>{MOMENT.format(date)} UTC</time>;
}

function NotKept({ site }: { site: string }) {
  return (
    <Frame site={site}>
      <h1>Machines signed in</h1>
      <p>
        {site} keeps no list of the machines that are signed in: it has no store that could hold one. What a machine got
        ends with the session that it was approved in: sign out of {site} in that browser.
      </p>
    </Frame>
  );
}

function SignedOut({ site }: { site: string }) {
  return (
    <Frame site={site} wide>
      <h1>Sign in to see your machines</h1>
      <SignInForm self={MACHINES_PATH} hint="" />
      <noscript>
        <p className={styles.notice}>The sign-in form needs JavaScript.</p>
      </noscript>
    </Frame>
  );
}

function Renew({ site, renewed }: { site: string; renewed: number }) {
  const at = now();
  // Renewed a moment ago, and still not ours: once more would go on for ever. An older address may be tried anew.
  const just = Math.abs(at - renewed) < 60;
  const next = `${MACHINES_PATH}?${RENEWED_PARAM}=${at}`;
  return (
    <Frame site={site} wide>
      <Renewal self={MACHINES_PATH} next={next} renewed={just} hint="" site={site} />
      <noscript>
        <p className={styles.notice}>This page needs JavaScript.</p>
      </noscript>
    </Frame>
  );
}

function Unavailable({ site, what }: { site: string; what: string }) {
  return (
    <Frame site={site}>
      <h1>Try again in a moment</h1>
      <p>{`${what} does not answer. No machine was signed out.`}</p>
      <p className={styles.end}>
        <a href={MACHINES_PATH}>Try again</a>
      </p>
    </Frame>
  );
}

function Frame({ site, wide, children }: { site: string; wide?: boolean; children: ReactNode }) {
  return (
    <ClerkProvider>
      <main className={styles.page}>
        <section className={wide ? `${styles.card} ${styles.wide}` : styles.card}>
          <p className={styles.site}>{site}</p>
          {children}
        </section>
      </main>
    </ClerkProvider>
  );
}
