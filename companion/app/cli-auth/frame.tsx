// What the pages have in common: the card with the name of the site, in one language.

import { ClerkProvider } from "@clerk/nextjs";
import type { ReactNode } from "react";
import { languages, messagesFor } from "../../lib/cli-auth/language";
import type { Language, Messages } from "../../lib/cli-auth/messages";
import type { Settings } from "../../lib/cli-auth/settings";
import styles from "./page.module.css";
import { Site } from "./site";

/** Which site this is, and what it says. */
export type Place = { site: string; language: Language; messages: Messages };

export function placeOf(settings: Settings, language: Language): Place {
  return { site: new URL(settings.origin).host, language, messages: messagesFor(language) };
}

/** The page around its content. The title is that of the tab, once the application's name is known. */
export function Frame({ place, title, children }: { place: Place; title: string; children: ReactNode }) {
  return (
    <ClerkProvider localization={languages[place.language] ?? {}}>
      <main className={styles.page} lang={place.language}>
        <section className={styles.card}>
          <Site host={place.site} title={title} />
          {children}
        </section>
      </main>
    </ClerkProvider>
  );
}

export function NeedsScript({ messages }: { messages: Messages }) {
  return (
    <noscript>
      <p className={styles.notice}>{messages.needsScript}</p>
    </noscript>
  );
}
