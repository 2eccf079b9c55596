// Every text that a person reads on our pages, in each language. A name in braces is replaced: {site} by the app's host,
// {machine} by what the machine calls itself, and so on.

const en = {
  title: "Sign in from the command line",
  consentHeading: "Let the command line act as you?",
  asks: "{client} on {machine} asks for access to your account.",
  asksBefore: "{client} on {machine} asks for access to your account. You decide after signing in.",
  machine: "a computer that calls itself {name}",
  noMachine: "a computer that gave no name",
  otherAccount: "This sign-in was started for {hint}, and you are signed in with another account.",
  account: "Account",
  organization: "Organization",
  personal: "Personal account",
  switching: "Switching…",
  notSwitched: "This organization cannot be chosen.",
  may: "May",
  mayAll: "do all that you can do on {site}",
  until: "Until",
  untilSignOut: "you sign out here",
  untilDate: "you sign out here, or {date} at the latest",
  end: "Take back",
  endMachines: "any time, at {link}",
  endSignOut: "sign out here, or clerk-credential-helper logout there",
  machines: "Signed-in machines",
  warning: "Approve only what you started yourself, just now.",
  approve: "Approve",
  deny: "Deny",
  notYou: "Not you?",
  anotherAccount: "Use another account",
  loading: "Loading the sign-in form…",
  signInHeading: "Sign in",
  needsScript: "This page needs JavaScript.",
  noForm: "The sign-in form cannot be loaded. Check your connection.",
  renewing: "Renewing your session…",
  unusableHeading: "Your session cannot be used here",
  otherSite: "Your session in this browser is not for {site}. Nothing was granted.",
  signInAgain: "Sign in again",
  tryAgain: "Try again",
  nothing: "Nothing was granted.",
  restart: "Close this tab and start the sign-in again in the terminal.",
  unavailableHeading: "Try again in a moment",
  unavailable: "The sign-in service of {site} does not answer.",
  badHeading: "This sign-in link does not work",
  bad: "The link is not complete, or it was changed on its way.",
  refusedHeading: "This request was refused",
  refused: "It did not come from a page of {site} in this browser.",
  setupHeading: "The sign-in is not set up",
  setup: "Tell the people who run {site}.",
  otherHeading: "The sign-in cannot go on",
  other: "{site} cannot answer this request.",
};

export type Messages = Record<keyof typeof en, string>;

const de: Messages = {
  title: "Anmeldung von der Kommandozeile",
  consentHeading: "Darf die Kommandozeile für Sie handeln?",
  asks: "{client} auf {machine} bittet um Zugriff auf Ihr Konto.",
  asksBefore: "{client} auf {machine} bittet um Zugriff auf Ihr Konto. Sie entscheiden nach der Anmeldung.",
  machine: "einem Computer, der sich {name} nennt,",
  noMachine: "einem Computer ohne Namen",
  otherAccount: "Begonnen wurde für {hint}; Sie sind mit einem anderen Konto angemeldet.",
  account: "Konto",
  organization: "Organisation",
  personal: "Persönliches Konto",
  switching: "Wird gewechselt…",
  notSwitched: "Diese Organisation kann nicht gewählt werden.",
  may: "Darf",
  mayAll: "alles tun, was Sie auf {site} tun können",
  until: "Bis",
  untilSignOut: "Sie sich hier abmelden",
  untilDate: "Sie sich hier abmelden, spätestens {date}",
  end: "Widerruf",
  endMachines: "jederzeit unter {link}",
  endSignOut: "hier abmelden oder dort clerk-credential-helper logout",
  machines: "Angemeldete Computer",
  warning: "Nur erlauben, wenn Sie dies eben selbst begonnen haben.",
  approve: "Erlauben",
  deny: "Ablehnen",
  notYou: "Sind Sie das nicht?",
  anotherAccount: "Anderes Konto verwenden",
  loading: "Das Anmeldeformular wird geladen…",
  signInHeading: "Anmelden",
  needsScript: "Diese Seite braucht JavaScript.",
  noForm: "Das Anmeldeformular lässt sich nicht laden. Prüfen Sie die Verbindung.",
  renewing: "Ihre Sitzung wird erneuert…",
  unusableHeading: "Ihre Sitzung gilt hier nicht",
  otherSite: "Ihre Sitzung in diesem Browser gilt nicht für {site}. Es wurde nichts erlaubt.",
  signInAgain: "Neu anmelden",
  tryAgain: "Noch einmal versuchen",
  nothing: "Es wurde nichts erlaubt.",
  restart: "Schließen Sie diesen Tab und beginnen Sie die Anmeldung im Terminal von vorn.",
  unavailableHeading: "Gleich noch einmal versuchen",
  unavailable: "Der Anmeldedienst von {site} antwortet nicht.",
  badHeading: "Dieser Anmeldelink geht nicht",
  bad: "Der Link ist unvollständig, oder er wurde unterwegs verändert.",
  refusedHeading: "Diese Anfrage wurde abgelehnt",
  refused: "Sie kam nicht von einer Seite von {site} in diesem Browser.",
  setupHeading: "Die Anmeldung ist nicht eingerichtet",
  setup: "Sagen Sie es den Betreibern von {site}.",
  otherHeading: "Die Anmeldung kann nicht weitergehen",
  other: "{site} kann diese Anfrage nicht beantworten.",
};

const fr: Messages = {
  title: "Connexion depuis la ligne de commande",
  consentHeading: "La ligne de commande peut-elle agir en votre nom ?",
  asks: "{client} sur {machine} demande l’accès à votre compte.",
  asksBefore: "{client} sur {machine} demande l’accès à votre compte. Vous déciderez après la connexion.",
  machine: "un ordinateur qui se nomme {name}",
  noMachine: "un ordinateur sans nom",
  otherAccount: "Commencée pour {hint} ; vous êtes connecté avec un autre compte.",
  account: "Compte",
  organization: "Organisation",
  personal: "Compte personnel",
  switching: "Changement en cours…",
  notSwitched: "Cette organisation ne peut pas être choisie.",
  may: "Peut",
  mayAll: "faire tout ce que vous pouvez faire sur {site}",
  until: "Jusqu’à",
  untilSignOut: "votre déconnexion ici",
  untilDate: "votre déconnexion ici, au plus tard le {date}",
  end: "Révoquer",
  endMachines: "à tout moment, sous {link}",
  endSignOut: "déconnectez-vous ici, ou clerk-credential-helper logout là-bas",
  machines: "Ordinateurs connectés",
  warning: "N’autorisez que ce que vous venez de commencer.",
  approve: "Autoriser",
  deny: "Refuser",
  notYou: "Ce n’est pas vous ?",
  anotherAccount: "Utiliser un autre compte",
  loading: "Chargement du formulaire de connexion…",
  signInHeading: "Connexion",
  needsScript: "Cette page a besoin de JavaScript.",
  noForm: "Le formulaire de connexion ne se charge pas. Vérifiez votre connexion au réseau.",
  renewing: "Renouvellement de votre session…",
  unusableHeading: "Votre session ne vaut pas ici",
  otherSite: "Votre session dans ce navigateur n’est pas pour {site}. Rien n’a été autorisé.",
  signInAgain: "Se reconnecter",
  tryAgain: "Réessayer",
  nothing: "Rien n’a été autorisé.",
  restart: "Fermez cet onglet et recommencez la connexion dans le terminal.",
  unavailableHeading: "Réessayez dans un instant",
  unavailable: "Le service de connexion de {site} ne répond pas.",
  badHeading: "Ce lien de connexion ne fonctionne pas",
  bad: "Le lien est incomplet, ou il a été modifié en chemin.",
  refusedHeading: "Cette demande a été refusée",
  refused: "Elle ne vient pas d’une page de {site} dans ce navigateur.",
  setupHeading: "La connexion n’est pas configurée",
  setup: "Prévenez les responsables de {site}.",
  otherHeading: "La connexion ne peut pas continuer",
  other: "{site} ne peut pas répondre à cette demande.",
};

export const messages = { en, de, fr };

export type Language = keyof typeof messages;

/** The text with plain values in the place of their names. */
export function fill(text: string, values: Record<string, string>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) =>
    Object.hasOwn(values, name) ? String(values[name]) : whole,
  );
}

const MAX_HEADER = 500;

/**
 * The language that a browser prefers (Accept-Language, RFC 9110 §12.5.4) of those that are offered, the first of which is
 * for all others. A region is ignored: de-AT is de.
 */
export function preferred<Name extends string>(header: string | null, offered: readonly Name[]): Name | undefined {
  let best: { name: Name; quality: number } | undefined;
  for (const item of (header ?? "").slice(0, MAX_HEADER).split(",")) {
    const [range = "", ...parameters] = item.split(";");
    const name = offered.find((one) => one === range.trim().toLowerCase().split("-")[0]);
    const weight = parameters.map((one) => /^\s*q=([01](?:\.[0-9]{0,3})?)\s*$/.exec(one)?.[1]).find(Boolean);
    const quality = weight === undefined ? 1 : Number(weight);
    if (name !== undefined && quality > (best?.quality ?? 0)) best = { name, quality };
  }
  return best?.name ?? offered[0];
}
