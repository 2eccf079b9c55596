// The authorize page: the sign-in for who is signed out, the question for who is signed in. It decides nothing; the
// consent form's route reads everything again.

import type { Metadata } from "next";
import { headers } from "next/headers";
import { Suspense } from "react";
import { type Account, account, ClerkUnavailable, type Organization, organizations } from "../../lib/cli-auth/clerk";
import { languageOf, messagesFor } from "../../lib/cli-auth/language";
import { fill, type Messages } from "../../lib/cli-auth/messages";
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
import { Frame, NeedsScript, type Place, placeOf } from "./frame";
import styles from "./page.module.css";
import { Renewal } from "./renewal";
import { SignInForm } from "./sign-in";
import { Quoted, Text } from "./text";

export async function generateMetadata(): Promise<Metadata> {
  const { title } = messagesFor(languageOf(await headers()));
  return { title: { absolute: `${title} · ${new URL(readSettings().origin).host}` }, robots: { index: false } };
}

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
  const place = placeOf(settings, languageOf(incoming));
  const session = await read(settings, incoming);
  if (session === undefined) return <Unavailable request={request} place={place} />;
  switch (session.state) {
    case "signed in":
      return <Consent request={request} who={session.who} place={place} machines={settings.store.kind !== "none"} />;
    case "renew":
      return <Renew request={request} place={place} renewed={Number(params.get(RENEWED_PARAM))} />;
    case "signed out":
      return <SignedOut request={request} place={place} />;
  }
}

/** Who the browser's session is of; undefined if Clerk does not answer. */
async function read(settings: Settings, incoming: Headers) {
  try {
    const session = await browserSession(settings, incoming);
    if (session.state !== "signed in") return session;
    return { state: session.state, who: await personOf(settings, session) };
  } catch (error) {
    if (!(error instanceof ClerkUnavailable)) throw error;
    console.error(`cli-auth: ${error.message}`);
    return undefined;
  }
}

type SignedIn = {
  session: string;
  user: string;
  person: Account;
  organization: string;
  memberships: Organization[];
  expiresAt: number;
};

async function personOf(
  settings: Settings,
  { sid, sub, org, expiresAt }: { sid: string; sub: string; org: string; expiresAt: number },
) {
  const [person, memberships] = await Promise.all([account(settings, sub), organizations(settings, sub)]);
  return { session: sid, user: sub, person, organization: org, memberships, expiresAt } satisfies SignedIn;
}

type ConsentProps = { request: AuthorizeRequest; who: SignedIn; place: Place; machines: boolean };

function Consent({ request, who, place, machines }: ConsentProps) {
  const { person, memberships } = who;
  const { site, messages } = place;
  const self = authorizePath(request);
  return (
    <Frame place={place} title={place.messages.title}>
      <h1>{messages.consentHeading}</h1>
      <p>
        <Asks text={messages.asks} request={request} messages={messages} />
      </p>
      <OtherAccount text={messages.otherAccount} hint={request.loginHint} person={person} />
      <dl className={styles.facts}>
        <div>
          <dt>{messages.account}</dt>
          <dd>
            {person.name && <bdi className={styles.name}>{person.name}</bdi>}{" "}
            {person.email && <bdi className={styles.email}>{person.email}</bdi>}
            {!person.name && !person.email && <bdi className={styles.name}>{who.user}</bdi>}
          </dd>
        </div>
        <div>
          <dt>{messages.organization}</dt>
          <dd>
            {memberships.length > 0 ? (
              <OrganizationSwitch
                self={self}
                current={who.organization}
                organizations={memberships}
                messages={messages}
              />
            ) : (
              <bdi>{who.organization || messages.personal}</bdi>
            )}
          </dd>
        </div>
        <div>
          <dt>{messages.may}</dt>
          <dd>
            <Text text={messages.mayAll} values={{ site: <strong>{site}</strong> }} />
          </dd>
        </div>
        <div>
          <dt>{messages.until}</dt>
          <dd>{until(place, who.expiresAt)}</dd>
        </div>
        <div>
          <dt>{messages.end}</dt>
          <dd>
            {machines ? (
              <Text
                text={messages.endMachines}
                values={{ link: <a href="/cli-auth/machines">{messages.machines}</a> }}
              />
            ) : (
              messages.endSignOut
            )}
          </dd>
        </div>
      </dl>
      <p className={styles.warning}>{messages.warning}</p>
      <Decision
        fields={[...parameters(request), ["session", who.session], ["organization", who.organization]]}
        messages={messages}
      />
      <p className={styles.end}>
        {messages.notYou} <AnotherAccount self={self} session={who.session} messages={messages} />
      </p>
    </Frame>
  );
}

function until({ language, messages }: Place, expiresAt: number): string {
  if (!Number.isFinite(expiresAt)) return messages.untilSignOut;
  const date = new Intl.DateTimeFormat(language, { dateStyle: "long", timeZone: "UTC" }).format(expiresAt * 1000);
  return fill(messages.untilDate, { date });
}

function OtherAccount({ text, hint, person }: { text: string; hint: string; person: Account }) {
  const expected = hint.toLowerCase();
  if (hint === "" || person.emails.some((email) => email.toLowerCase() === expected)) return null;
  return (
    <p className={styles.notice} role="note">
      <Text text={text} values={{ hint: <Quoted text={hint} /> }} />
    </p>
  );
}

function SignedOut({ request, place }: { request: AuthorizeRequest; place: Place }) {
  return (
    <Frame place={place} title={place.messages.title}>
      <p>
        <Asks text={place.messages.asksBefore} request={request} messages={place.messages} />
      </p>
      <SignInForm self={authorizePath(request)} hint={request.loginHint} messages={place.messages} />
      <NeedsScript messages={place.messages} />
    </Frame>
  );
}

// Whose session it is stays unsaid: the token in the cookie may be anybody's.
function Renew({ request, place, renewed }: { request: AuthorizeRequest; place: Place; renewed: number }) {
  const self = authorizePath(request);
  const at = now();
  // Renewed a moment ago, and still not ours: once more would go on for ever. An older address may be tried anew.
  const just = Math.abs(at - renewed) < 60;
  return (
    <Frame place={place} title={place.messages.title}>
      <Renewal
        self={self}
        next={`${self}&${RENEWED_PARAM}=${at}`}
        renewed={just}
        hint={request.loginHint}
        site={place.site}
        messages={place.messages}
      />
      <NeedsScript messages={place.messages} />
    </Frame>
  );
}

function Unavailable({ request, place }: { request: AuthorizeRequest; place: Place }) {
  const { site, messages } = place;
  return (
    <Frame place={place} title={place.messages.title}>
      <h1>{messages.unavailableHeading}</h1>
      <p>
        {fill(messages.unavailable, { site })} {messages.nothing}
      </p>
      <p className={styles.decision}>
        <a className={styles.approve} href={authorizePath(request)}>
          {messages.tryAgain}
        </a>
      </p>
    </Frame>
  );
}

function Asks({ text, request, messages }: { text: string; request: AuthorizeRequest; messages: Messages }) {
  const machine =
    request.machine === "" ? (
      messages.noMachine
    ) : (
      <Text text={messages.machine} values={{ name: <Quoted text={request.machine} /> }} />
    );
  return <Text text={text} values={{ client: <strong>{CLIENT_ID}</strong>, machine }} />;
}

function asParams(record: Record<string, string | string[] | undefined>): URLSearchParams {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(record))
    for (const item of [value ?? []].flat()) params.append(name, item);
  return params;
}
