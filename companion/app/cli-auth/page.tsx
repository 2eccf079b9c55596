// The authorize page: the sign-in for who is signed out, the question for who is signed in. It decides nothing; the
// consent form's route reads everything again.

import { ClerkProvider } from "@clerk/nextjs";
import type { Metadata } from "next";
import { headers } from "next/headers";
import { type ReactNode, Suspense } from "react";
import { type Account, account, ClerkUnavailable, type Organization, organizations } from "../../lib/cli-auth/clerk";
import {
  type AuthorizeRequest,
  authorizePath,
  CHECKED_HEADER,
  CLIENT_ID,
  parameters,
  parseAuthorize,
  RENEWED_PARAM,
} from "../../lib/cli-auth/request";
import { now } from "../../lib/cli-auth/seal";
import { browserSession } from "../../lib/cli-auth/session";
import { readSettings, type Settings } from "../../lib/cli-auth/settings";
import { AnotherAccount, Decision, OrganizationSwitch } from "./consent";
import styles from "./page.module.css";
import { Renewal } from "./renewal";
import { SignInForm } from "./sign-in";

export const metadata: Metadata = { title: "Sign in from the command line", robots: { index: false } };

type Props = { searchParams: Promise<Record<string, string | string[] | undefined>> };

// Everything here is of this one request, which an app with cacheComponents wants to be told by Suspense.
export default function Page(props: Props) {
  return (
    <Suspense fallback={<main className={styles.page} aria-busy="true" />}>
      <Authorize {...props} />
    </Suspense>
  );
}

async function Authorize({ searchParams }: Props) {
  const incoming = await headers();
  if (incoming.get(CHECKED_HEADER) !== "1") {
    // Without it the page has no headers against framing, and nothing may be approved on it.
    throw new Error("cli-auth: proxy.ts does not call withCliAuth, or its matcher leaves /cli-auth out");
  }
  const settings = readSettings();
  const params = asParams(await searchParams);
  const request = parseAuthorize(params);
  const site = new URL(settings.origin).host;
  const visitor = await whoVisits(settings, incoming);
  switch (visitor.state) {
    case "signed in":
      return <Consent request={request} who={visitor.who} site={site} />;
    case "renew":
      return <Renew request={request} site={site} renewed={Number(params.get(RENEWED_PARAM))} />;
    case "signed out":
      return <SignedOut request={request} site={site} />;
    case "unknown":
      return <Unavailable request={request} site={site} />;
  }
}

async function whoVisits(settings: Settings, incoming: Headers) {
  try {
    const session = await browserSession(settings, incoming);
    if (session.state !== "signed in") return session;
    return { state: session.state, who: await personOf(settings, session) };
  } catch (error) {
    if (!(error instanceof ClerkUnavailable)) throw error;
    console.error(`cli-auth: ${error.message}`);
    return { state: "unknown" as const };
  }
}

type SignedIn = {
  session: string;
  user: string;
  person: Account;
  organization: string;
  memberships: Organization[];
};

async function personOf(settings: Settings, { sid, sub, org }: { sid: string; sub: string; org: string }) {
  const [person, memberships] = await Promise.all([account(settings, sub), organizations(settings, sub)]);
  return { session: sid, user: sub, person, organization: org, memberships } satisfies SignedIn;
}

function Consent({ request, who, site }: { request: AuthorizeRequest; who: SignedIn; site: string }) {
  const { person, memberships } = who;
  const self = authorizePath(request);
  return (
    <Frame site={site}>
      <h1>Let the command line act as you?</h1>
      <p>
        <strong>{CLIENT_ID}</strong> on <Machine name={request.machine} /> asks for access to your account.
      </p>
      <OtherAccount hint={request.loginHint} person={person} />
      <dl className={styles.facts}>
        <div>
          <dt>Account</dt>
          <dd>
            {person.name && <bdi className={styles.name}>{person.name}</bdi>}
            {person.email && <bdi className={styles.email}>{person.email}</bdi>}
            {!person.name && !person.email && <bdi className={styles.name}>{who.user}</bdi>}
          </dd>
        </div>
        <div>
          <dt>Organisation</dt>
          <dd>
            {memberships.length > 0 ? (
              <OrganizationSwitch self={self} current={who.organization} organizations={memberships} />
            ) : (
              <bdi>{who.organization || "Personal account"}</bdi>
            )}
          </dd>
        </div>
        <div>
          <dt>Client</dt>
          <dd>{CLIENT_ID}</dd>
        </div>
        {request.machine && (
          <div>
            <dt>Machine</dt>
            <dd>
              <Quoted text={request.machine} />
              <span className={styles.aside}>its own words, not verified</span>
            </dd>
          </div>
        )}
      </dl>
      <p className={styles.warning}>
        The token acts as you in the whole app: a program that has it can do all that you can do on {site}. Approve only
        if you have started this sign-in yourself, just now.
      </p>
      <Decision fields={[...parameters(request), ["session", who.session], ["organization", who.organization]]} />
      <p className={styles.end}>
        Access ends soon after you sign out of {site} in this browser. Not you?{" "}
        <AnotherAccount self={self} session={who.session} />
      </p>
    </Frame>
  );
}

function OtherAccount({ hint, person }: { hint: string; person: Account }) {
  const expected = hint.toLowerCase();
  if (hint === "" || person.emails.some((email) => email.toLowerCase() === expected)) return null;
  return (
    <p className={styles.notice} role="note">
      This sign-in was started for <Quoted text={hint} />, and you are signed in with another account.
    </p>
  );
}

function SignedOut({ request, site }: { request: AuthorizeRequest; site: string }) {
  const self = authorizePath(request);
  return (
    <Frame site={site} wide>
      <h1>Sign in to go on</h1>
      <p>
        <strong>{CLIENT_ID}</strong> on <Machine name={request.machine} /> asks for access to your account. You decide
        after signing in.
      </p>
      <SignInForm self={self} hint={request.loginHint} />
      <noscript>
        <p className={styles.notice}>The sign-in form needs JavaScript.</p>
      </noscript>
    </Frame>
  );
}

// Whose session it is stays unsaid: the token in the cookie may be anybody's.
function Renew({ request, site, renewed }: { request: AuthorizeRequest; site: string; renewed: number }) {
  const self = authorizePath(request);
  const at = now();
  // Renewed a moment ago, and still not ours: once more would go on for ever. An older address may be tried anew.
  const just = Math.abs(at - renewed) < 60;
  return (
    <Frame site={site} wide>
      <Renewal
        self={self}
        next={`${self}&${RENEWED_PARAM}=${at}`}
        renewed={just}
        hint={request.loginHint}
        site={site}
      />
      <noscript>
        <p className={styles.notice}>This page needs JavaScript.</p>
      </noscript>
    </Frame>
  );
}

function Unavailable({ request, site }: { request: AuthorizeRequest; site: string }) {
  return (
    <Frame site={site}>
      <h1>Try again in a moment</h1>
      <p>Clerk, which keeps the accounts of {site}, does not answer. Nothing was granted.</p>
      <p className={styles.end}>
        <a href={authorizePath(request)}>Try again</a>
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

function Machine({ name }: { name: string }) {
  if (name === "") return <>a computer that gave no name</>;
  return (
    <>
      a computer that calls itself <Quoted text={name} />
    </>
  );
}

// Text from outside stands in quotes and keeps its direction to itself.
function Quoted({ text }: { text: string }) {
  return (
    <span className={styles.quoted}>
      “<bdi>{text}</bdi>”
    </span>
  );
}

function asParams(record: Record<string, string | string[] | undefined>): URLSearchParams {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(record))
    for (const item of [value ?? []].flat()) params.append(name, item);
  return params;
}
