// The pages for what should not happen: no scripts, nothing from anywhere, no text that came with the request. They follow
// the system's theme, because no style of the app reaches them.

import { languageOf, messagesFor } from "./language";
import { fill, type Messages } from "./messages";

const STYLE = `
:root{color-scheme:light dark;--ground:#f4f5f7;--card:#fff;--line:#dfe2e8;--text:#15181e;--soft:#565d6a;--accent:#1d4fbf;--on-accent:#fff}
@media(prefers-color-scheme:dark){:root{--ground:#0e1014;--card:#171a20;--line:#2e333d;--text:#eceef2;--soft:#a6adba;--accent:#8fb2ff;--on-accent:#0b1530}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;padding:16px;display:grid;place-items:center;background:var(--ground);color:var(--text);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",sans-serif}
main{width:100%;max-width:540px;padding:24px 32px;background:var(--card);border:1px solid var(--line);border-radius:16px}
h1{margin:0 0 8px;font-size:22px;line-height:1.25;font-weight:650;text-wrap:balance}
p{margin:0 0 8px;overflow-wrap:anywhere}
.site{min-height:28px;margin-bottom:12px;font-size:14px;color:var(--soft)}
.soft{margin:0;color:var(--soft)}
.again{display:block;margin-top:16px;padding:10px 16px;border-radius:10px;background:var(--accent);color:var(--on-accent);
font-weight:600;text-align:center;text-decoration:none}
.again:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
@media(max-width:480px){body{padding:12px}main{padding:20px}}
`;

/** What went wrong. */
type Failure = {
  status: number;
  /** For developers: it stands in the source of the page, and is shown only where the app's settings are wrong. */
  message: string;
  headers?: Record<string, string>;
  /** The path at which to try again. */
  again?: string;
};

const TEXTS: Record<number, [keyof Messages, keyof Messages]> = {
  400: ["badHeading", "bad"],
  403: ["refusedHeading", "refused"],
  500: ["setupHeading", "setup"],
  503: ["unavailableHeading", "unavailable"],
};

/** A page that says what went wrong, in the language of the browser. */
export function plainPage(incoming: Headers, { status, message, headers = {}, again }: Failure): Response {
  const language = languageOf(incoming);
  const messages = messagesFor(language);
  const [heading, sentence] = TEXTS[status] ?? ["otherHeading", "other"];
  const site = host();
  const title = site ? `${messages[heading]} · ${site}` : messages[heading];
  const detail = escaped(message.charAt(0).toUpperCase() + message.slice(1));
  const html = `<!doctype html>
<html lang="${language}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta name="cli-auth-error" content="${detail}">
<title>${escaped(title)}</title>
<style>${STYLE}</style>
<main>
${site ? `<p class="site">${escaped(site)}</p>\n` : ""}<h1>${escaped(messages[heading])}</h1>
<p>${escaped(fill(messages[sentence], { site: site || "this app" }))} ${escaped(messages.nothing)}</p>
${status === 500 ? `<p lang="en">${detail}.</p>\n` : ""}${
  again
    ? `<a class="again" href="${escaped(again)}">${escaped(messages.tryAgain)}</a>`
    : `<p class="soft">${escaped(messages.restart)}</p>`
}
</main>
</html>
`;
  return new Response(html, {
    status,
    headers: { "content-type": "text/html; charset=utf-8", ...pageHeaders(), ...headers },
  });
}

// Read here, because the settings may be what is wrong; never taken from the request.
function host(): string {
  const origin = process.env.CLI_AUTH_ORIGIN ?? "";
  return URL.canParse(origin) ? new URL(origin).host : "";
}

/** The headers of every page here. The loopback port is the one place that the consent form may lead to. */
export function pageHeaders(port?: number): Record<string, string> {
  const formAction = port === undefined ? "'self'" : `'self' http://127.0.0.1:${port}`;
  return {
    "content-security-policy": `frame-ancestors 'none'; base-uri 'none'; object-src 'none'; form-action ${formAction}`,
    "x-frame-options": "DENY",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    // Not no-referrer: under it a browser sends the consent form with "Origin: null".
    "referrer-policy": "same-origin",
  };
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
