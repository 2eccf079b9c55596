// The languages that the page speaks, the first of which is for browsers that want none of them. This file is yours to edit.
//
// The sign-in card is Clerk's and speaks what ClerkProvider's `localization` says, so a language is listed here with
// Clerk's words for it. In an app whose layout has a ClerkProvider that one decides: then list the language it is in. With
// deDE and frFR of the package @clerk/localizations:
//
//   export const languages: Languages = { en: {}, de: deDE, fr: frFR };

import type { ClerkProvider } from "@clerk/nextjs";
import type { ComponentProps } from "react";
import { type Language, type Messages, messages, preferred } from "./messages";

type Languages = Partial<Record<Language, NonNullable<ComponentProps<typeof ClerkProvider>["localization"]>>>;

export const languages: Languages = { en: {} };

/** The language for a browser. */
export function languageOf(headers: Headers): Language {
  return preferred(headers.get("accept-language"), Object.keys(languages) as Language[]) ?? "en";
}

/** What is said in it. */
export function messagesFor(language: Language): Messages {
  return messages[language];
}
