// The machines that are signed in for a person. It decides nothing; the form's route reads everything again.

import type { Metadata } from "next";
import { headers } from "next/headers";
import { type ReactNode, Suspense } from "react";
import { ClerkUnavailable, type Organization, organizations } from "../../../lib/cli-auth/clerk";
import { languageOf, messagesFor } from "../../../lib/cli-auth/language";
import { ALL } from "../../../lib/cli-auth/machines";
import { fill } from "../../../lib/cli-auth/messages";
import { CHECKED_HEADER, MACHINES_PATH, RENEWED_PARAM } from "../../../lib/cli-auth/request";
import { now } from "../../../lib/cli-auth/seal";
import { browserSession } from "../../../lib/cli-auth/session";
import { readSettings, type Settings } from "../../../lib/cli-auth/settings";
import { openGrants } from "../../../lib/cli-auth/store";
import { type Grants, type ListedGrant, StoreError } from "../../../lib/cli-auth/stores/interface";
import { Frame, NeedsScript, type Place, placeOf } from "../frame";
import styles from "../page.module.css";
import { Renewal } from "../renewal";
import { SignInForm } from "../sign-in";
import { Quoted } from "../text";

export async function generateMetadata(): Promise<Metadata> {
  const { machines } = messagesFor(languageOf(await headers()));
  return { title: { absolute: `${machines} · ${new URL(readSettings().origin).host}` }, robots: { index: false } };
}

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
  const place = placeOf(settings, languageOf(incoming));
  const grants = openGrants(settings);
  if (!grants) return <NotKept place={place} />;
  const found = await read(settings, grants, incoming);
  switch (found.state) {
    case "signed in":
      return <Listed place={place} {...found} />;
    case "renew":
      return <Renew place={place} renewed={Number((await searchParams)[RENEWED_PARAM])} />;
    case "signed out":
      return <SignedOut place={place} />;
    case "unknown":
      return <Unavailable place={place} store={found.store} />;
  }
}

/** Who the browser's session is of, and what is signed in for them. */
async function read(settings: Settings, grants: Grants, incoming: Headers) {
  try {
    const session = await browserSession(settings, incoming);
    if (session.state !== "signed in") return session;
    const { state, sid, sub } = session;
    const [listed, memberships] = await Promise.all([grants.list(sub), organizations(settings, sub)]);
    return { state, session: sid, listed: listed.sort((a, b) => b.used - a.used), memberships };
  } catch (error) {
    if (!(error instanceof ClerkUnavailable || error instanceof StoreError)) throw error;
    console.error(`cli-auth: ${error.message}`);
    return { state: "unknown" as const, store: error instanceof StoreError };
  }
}

type ListProps = { place: Place; session: string; listed: ListedGrant[]; memberships: Organization[] };

function Listed({ place, session, listed, memberships }: ListProps) {
  const { messages } = place;
  const organization = (id: string) =>
    id === "" ? messages.personal : (memberships.find((item) => item.id === id)?.name ?? id);
  return (
    <Frame place={place} title={messages.machines}>
      <h1>{messages.machines}</h1>
      {listed.length === 0 && <p role="status">{messages.noMachines}</p>}
      {listed.map(({ family, machine, org, created, used }) => (
        <div key={family}>
          <dl className={styles.facts}>
            <Fact name={messages.machineName}>
              {machine ? (
                <>
                  <Quoted text={machine} />
                  <span className={styles.aside}>{messages.unverified}</span>
                </>
              ) : (
                messages.noMachine
              )}
            </Fact>
            <Fact name={messages.organization}>
              <bdi>{organization(org)}</bdi>
            </Fact>
            <Fact name={messages.signedInAt}>
              <Moment at={created} language={place.language} />
            </Fact>
            <Fact name={messages.lastToken}>
              <Moment at={used} language={place.language} />
            </Fact>
          </dl>
          <SignOut session={session} grant={family} text={messages.signOutMachine} of={machine || messages.noMachine} />
        </div>
      ))}
      {listed.length > 1 && <SignOut session={session} grant={ALL} text={messages.signOutAll} />}
      <p className={styles.end}>{messages.afterSignOut}</p>
    </Frame>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

type SignOutProps = { session: string; grant: string; text: string; of?: string };

function SignOut({ session, grant, text, of }: SignOutProps) {
  return (
    <form method="post" action="/api/cli-auth/machines" className={styles.decision}>
      <input type="hidden" name="session" value={session} />
      <button
        type="submit"
        name="grant"
        value={grant}
        className={styles.deny}
        aria-label={of ? `${text}: ${of}` : undefined}
      >
        {text}
      </button>
    </form>
  );
}

function Moment({ at, language }: { at: number; language: string }) {
  const date = new Date(at * 1000);
  const text = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });
  return <time dateTime={date.toISOString()}>{text.format(date)} UTC</time>;
}

function NotKept({ place }: { place: Place }) {
  const { site, messages } = place;
  return (
    <Frame place={place} title={messages.machines}>
      <h1>{messages.machines}</h1>
      <p>{fill(messages.notKept, { site })}</p>
    </Frame>
  );
}

function SignedOut({ place }: { place: Place }) {
  const { messages } = place;
  return (
    <Frame place={place} title={messages.machines}>
      <p>{messages.machinesBefore}</p>
      <SignInForm self={MACHINES_PATH} hint="" messages={messages} />
      <NeedsScript messages={messages} />
    </Frame>
  );
}

function Renew({ place, renewed }: { place: Place; renewed: number }) {
  const { site, messages } = place;
  const at = now();
  // Renewed a moment ago, and still not ours: once more would go on for ever. An older address may be tried anew.
  const just = Math.abs(at - renewed) < 60;
  const next = `${MACHINES_PATH}?${RENEWED_PARAM}=${at}`;
  return (
    <Frame place={place} title={messages.machines}>
      <Renewal self={MACHINES_PATH} next={next} renewed={just} hint="" site={site} messages={messages} />
      <NeedsScript messages={messages} />
    </Frame>
  );
}

function Unavailable({ place, store }: { place: Place; store: boolean }) {
  const { site, messages } = place;
  return (
    <Frame place={place} title={messages.machines}>
      <h1>{messages.unavailableHeading}</h1>
      <p>
        {fill(store ? messages.storeUnavailable : messages.unavailable, { site })} {messages.noneSignedOut}
      </p>
      <p className={styles.decision}>
        <a className={styles.approve} href={MACHINES_PATH}>
          {messages.tryAgain}
        </a>
      </p>
    </Frame>
  );
}
