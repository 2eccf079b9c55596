// The pages for what should not happen: no scripts, nothing from anywhere, no text that came with the request.

const STYLE = `
:root{color-scheme:light dark;--ground:#f4f5f7;--card:#fff;--line:#e3e5ea;--text:#15181e;--soft:#5c6370}
@media(prefers-color-scheme:dark){:root{--ground:#0e1014;--card:#171a20;--line:#2a2e37;--text:#eceef2;--soft:#a0a7b4}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;padding:24px 16px;display:grid;place-items:center;background:var(--ground);color:var(--text);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",sans-serif}
main{width:100%;max-width:440px;padding:32px 28px;background:var(--card);border:1px solid var(--line);border-radius:16px}
h1{margin:0 0 8px;font-size:22px;line-height:1.3;text-wrap:balance}
p{margin:0 0 8px;overflow-wrap:anywhere}
p:last-child{margin:0;color:var(--soft)}
`;

const TITLES: Record<number, string> = {
  400: "This sign-in request cannot be read",
  403: "This request was refused",
  500: "The sign-in is not set up",
  503: "Try again in a moment",
};

/** A page that says what is wrong. The message is one of our own sentences; it is escaped all the same. */
export function plainPage(
  status: number,
  message: string,
  headers: Record<string, string> = {},
  rest = "Nothing was granted. You can close this tab and start the sign-in again in the terminal.",
): Response {
  const title = TITLES[status] ?? "The sign-in cannot go on";
  const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title}</title>
<style>${STYLE}</style>
<main>
<h1>${title}</h1>
<p>${escaped(message.charAt(0).toUpperCase() + message.slice(1))}.</p>
<p>${rest}</p>
</main>
</html>
`;
  return new Response(html, {
    status,
    headers: { "content-type": "text/html; charset=utf-8", ...pageHeaders(), ...headers },
  });
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
