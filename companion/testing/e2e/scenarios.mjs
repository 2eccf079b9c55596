// What a person does, and what an attacker may try on her. Each scenario gets the stage and a browser profile of its
// own, and throws where the world is not as it must be.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { request as ask, createServer } from "node:http";
import { join } from "node:path";
import { asking, claimsOf } from "../attacks/app.mjs";
import { startCiIssuer } from "../ci-issuer.mjs";
import { listen, onFreePort } from "../port.mjs";
import { consent, enterPassword, identify, listenerSays, signIn } from "./browser.mjs";
import { Person } from "./person.mjs";

/** @import { Stage } from "../e2e.mjs" */
/** @import { Profile } from "./browser.mjs" */
/** @import { Page } from "./playwright.d.mts" */
/** @import { Child } from "./processes.mjs" */
/** @typedef {{ email: string, password: string }} Account */
/**
 * @typedef {object} Scenario
 * @property {string} name
 * @property {string} what
 * @property {boolean} [slow] it only waits, and runs beside the others
 * @property {boolean} [firefox] it is in Firefox, and runs with --firefox only
 * @property {(stage: Stage, profile: Profile) => Promise<void>} run
 */

const ada = { email: "ada@acme.dev", password: "correct horse" };
const bob = { email: "bob@acme.dev", password: "staple battery" };
const emailCode = "424242";

/**
 * Gives the browser a person who is signed in already, as an earlier visit would have.
 * @param {Stage} stage
 * @param {Pick<Profile, "setCookies">} profile
 * @param {Account} user
 * @param {{ organization?: string, origin?: string | undefined }} [options]
 */
async function arriveSignedIn(stage, profile, user, options = {}) {
  const answer = await stage.control("/sign-in", {
    user: user.email,
    origin: stage.app,
    seconds: 60,
    ...options,
  });
  await profile.setCookies(answer.cookies);
  return answer;
}

/**
 * The cookies with another session token.
 * @param {Record<string, string>} cookies
 * @param {string} token
 */
function withSession(cookies, token) {
  return Object.fromEntries(
    Object.entries(cookies).map(([name, value]) => [name, name.startsWith("__session") ? token : value]),
  );
}

/**
 * A token of the session that is over.
 * @param {Stage} stage
 * @param {string} session
 */
async function expired(stage, session) {
  const now = Math.floor(Date.now() / 1000);
  const past = { iat: now - 3600, nbf: now - 3610, exp: now - 3540 };
  return (await stage.control("/token", { kind: "session", session, origin: stage.app, claims: past })).token;
}

/**
 * The page that the browser's session cookie names.
 * @param {Profile} profile
 */
async function azpOf(profile) {
  const cookies = await profile.context.cookies(profile.stage.app);
  return claimsOf(cookies.find(({ name }) => name === "__session")?.value ?? "").azp;
}

/**
 * Keeps scripts from changing the app's cookies, until a page of it has put "thawed" into its storage.
 * @param {Profile} profile
 */
function freezeCookies(profile) {
  return profile.context.addInitScript((app) => {
    if (location.origin !== app || localStorage.getItem("thawed")) return;
    const own = Object.getOwnPropertyDescriptor(Document.prototype, "cookie");
    Object.defineProperty(document, "cookie", { get: () => own?.get?.call(document), set: () => {} });
  }, profile.stage.app);
}

/**
 * Waits for a program and demands its exit status.
 * @param {Child} child
 */
async function ended(child, status = 0) {
  const got = await child.exit;
  assert.equal(got, status, `exit status of ${child.name}\n${child.output()}`);
}

/**
 * Asks the example backend who it takes the helper's token for.
 * @param {Stage} stage
 * @param {Person} person
 */
async function whoami(stage, person) {
  const child = person.helper("token", "acme");
  await ended(child);
  const response = await fetch(`${stage.backend}/whoami`, {
    headers: { authorization: `Bearer ${child.stdout.trim()}` },
  });
  assert.equal(response.status, 200, "the backend takes the token");
  return response.json();
}

/**
 * The kept session belongs to this user, organisation and page, and the backend agrees.
 * @param {Stage} stage
 * @param {Person} person
 * @param {Account} user
 * @param {string} [organization]
 */
async function keeps(stage, person, user, organization) {
  const { record } = await person.kept();
  assert.equal(record.email, user.email);
  assert.ok(record.refresh_token, "there is a refresh token");
  const want = { kind: "session_token", subject: stage.clerk.users[user.email] };
  assert.deepEqual(await whoami(stage, person), organization ? { ...want, organization } : want);
}

/**
 * No file of the person holds a JWT or a sealed value.
 * @param {Person} person
 */
async function keepsNothing(person) {
  for (const { path, text } of await person.files()) {
    assert.doesNotMatch(text, /eyJ[A-Za-z0-9_-]{10}/, `a token in ${path}`);
  }
  assert.equal(await person.session(), undefined, "no session is kept");
}

/**
 * A complete set of authorize parameters, for requests that no helper waits for.
 * @param {number} port
 */
function parameters(port) {
  return asking({ redirect_uri: `http://127.0.0.1:${port}/callback`, machine_name: "ada's laptop" }).params;
}

/**
 * A foreign web server: answers with `html`, and remembers what it was asked.
 * @param {string} html
 */
async function elsewhere(html) {
  /** @type {string[]} */
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(html);
  });
  const port = await listen(server);
  return {
    asked,
    port,
    origin: `http://127.0.0.1:${port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/**
 * The addresses in the tab's history that hold a code.
 * @param {Profile} profile
 * @param {Page} page
 */
async function codesInHistory(profile, page) {
  const session = await profile.context.newCDPSession(page);
  const { entries } = await session.send("Page.getNavigationHistory");
  return entries.map(({ url }) => url).filter((url) => /[?&]code=|\/callback/.test(url));
}

const escaped = (/** @type {string} */ text) =>
  text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");

/**
 * @param {string} action
 * @param {Record<string, string>} fields
 */
function form(action, fields) {
  const inputs = Object.entries(fields).map(([n, v]) => `<input type="hidden" name="${n}" value="${escaped(v)}">`);
  return `<form method="post" action="${action}">${inputs.join("")}</form>`;
}

/** The names of the buttons in each language: Approve, Deny, Use another account. */
const spoken = {
  en: ["Approve", "Deny", "Use another account"],
  de: ["Erlauben", "Ablehnen", "Anderes Konto verwenden"],
  fr: ["Autoriser", "Refuser", "Utiliser un autre compte"],
};

/** @type {Scenario[]} */
export const scenarios = [
  {
    name: "firefox",
    what: "Firefox: git clone waits; e-mail and password, consent, Approve; the clone goes on",
    firefox: true,
    async run(stage, profile) {
      const person = await Person.at(stage, "firefox");
      const clone = person.clone();
      await (await stage.firefox()).tab(profile, "en-GB", async (tab) => {
        await tab.open(await person.address(clone));
        await tab.click("input[name=identifier]");
        await tab.focused("input[name=identifier]");
        await tab.shoot("sign-in");
        await tab.type(bob.email);
        await tab.click(".cl-formButtonPrimary");
        await tab.click("input[name=password]:not([tabindex='-1'])");
        await tab.focused("input[name=password]:not([tabindex='-1'])");
        await tab.shoot("sign-in-password");
        await tab.type(bob.password);
        await tab.click(".cl-formButtonPrimary");
        await tab.find("button[value=approve][aria-disabled=false]");
        await tab.shows(bob.email);
        assert.equal(clone.ended, false, "git still waits");
        await tab.shoot("consent");
        await tab.click("button[value=approve][aria-disabled=false]");
        await tab.find("h1", "You are signed in");
        await tab.shoot("done");
      });
      await ended(clone);
      await keeps(stage, person, bob);
    },
  },
  {
    name: "firefox-keyboard",
    what: "Firefox: the keyboard alone, from the address to Approve",
    firefox: true,
    async run(stage, profile) {
      const person = await Person.at(stage, "firefox-keyboard");
      const clone = person.clone();
      await (await stage.firefox()).tab(profile, "en-GB", async (tab) => {
        await tab.open(await person.address(clone));
        await tab.focused("input[name=identifier]");
        await tab.type(bob.email);
        await tab.press("Enter");
        await tab.focused("input[name=password]:not([tabindex='-1'])");
        await tab.type(bob.password);
        await tab.press("Enter");
        await tab.find("button[value=approve][aria-disabled=false]");
        const visited = [];
        while (visited.length < 8 && visited.at(-1) !== "approve") {
          await tab.press("Tab");
          visited.push(
            await tab.evaluate(
              () => document.activeElement?.getAttribute("value") ?? document.activeElement?.textContent,
            ),
          );
        }
        assert.equal(visited.at(-1), "approve", `Tab passes ${visited}`);
        assert.notEqual(
          await tab.evaluate(() => getComputedStyle(document.activeElement ?? document.body).outlineStyle),
          "none",
        );
        await tab.shoot("consent-focus");
        await tab.find("button[value=approve][aria-disabled=false]");
        await tab.press("Enter");
        await tab.find("h1", "You are signed in");
      });
      await ended(clone);
      await keeps(stage, person, bob);
    },
  },
  {
    name: "firefox-wrong",
    what: "Firefox: a wrong password is an error under its field, and the right one goes on",
    firefox: true,
    async run(stage, profile) {
      const person = await Person.at(stage, "firefox-wrong");
      const clone = person.clone();
      await (await stage.firefox()).tab(profile, "en-GB", async (tab) => {
        await tab.open(await person.address(clone));
        await tab.focused("input[name=identifier]");
        await tab.type(bob.email);
        await tab.press("Enter");
        await tab.focused("input[name=password]:not([tabindex='-1'])");
        await tab.type("not his");
        await tab.click(".cl-formButtonPrimary");
        await tab.find(".cl-formFieldErrorText", "Password is incorrect. Try again, or use another method.");
        await tab.shoot("sign-in-wrong");
        await tab.focused("input[name=password]:not([tabindex='-1'])");
        await tab.press("Backspace", "not his".length);
        await tab.type(bob.password);
        await tab.click(".cl-formButtonPrimary");
        await tab.click("button[value=approve][aria-disabled=false]");
        await tab.find("h1", "You are signed in");
      });
      await ended(clone);
      await keeps(stage, person, bob);
    },
  },
  {
    name: "firefox-code",
    what: "Firefox: a code sent by e-mail, typed into its six boxes",
    firefox: true,
    async run(stage, profile) {
      const person = await Person.at(stage, "firefox-code");
      const clone = person.clone();
      await (await stage.firefox()).tab(profile, "en-GB", async (tab) => {
        await tab.open(await person.address(clone));
        await tab.focused("input[name=identifier]");
        await tab.type(ada.email);
        await tab.press("Enter");
        await tab.click("a", "Use another method");
        await tab.click("button", `Email code to ${ada.email}`);
        await tab.focused("input[autocomplete='one-time-code']");
        await tab.shoot("sign-in-code");
        await tab.type(emailCode);
        await tab.click("button[value=approve][aria-disabled=false]");
        await tab.find("h1", "You are signed in");
      });
      await ended(clone);
      await keeps(stage, person, ada);
    },
  },
  {
    name: "firefox-machines",
    what: "Firefox, in German: signed in already, Approve is in view, and the machine is signed out on its page",
    firefox: true,
    async run(stage, profile) {
      const person = await Person.at(stage, "firefox-machines");
      const clone = person.clone();
      await (await stage.firefox()).tab(profile, "de-DE", async (tab) => {
        await arriveSignedIn(stage, tab, ada); // who signs in nowhere else meanwhile
        await tab.open(await person.address(clone));
        const [approve] = spoken.de;
        const { y, height } = await tab.find("button[value=approve][aria-disabled=false]", approve);
        assert.equal(await tab.evaluate(() => window.scrollY), 0, "Approve is in view");
        assert.ok(y + height < 640, `Approve ends at ${y + height}`);
        await tab.shoot("consent-de");
        await tab.click("button[value=approve][aria-disabled=false]");
        await tab.find("h1", "You are signed in");
        await ended(clone);

        await tab.open(`${stage.app}/cli-auth/machines`);
        await tab.find("button[type=submit]");
        const before = await tab.evaluate(() => document.querySelectorAll("button[type=submit]").length);
        await tab.shoot("machines");
        await tab.click("button[type=submit]"); // the one that got a token last
        const fewer = (/** @type {number} */ than) => document.querySelectorAll("button[type=submit]").length < than;
        await tab.until("one machine less", fewer, before);
      });
      const check = person.helper("status", "--check");
      assert.equal(await check.exit, 4, check.output());
      assert.match(check.output().replace(/\s+/g, " "), /you signed this machine out in the web app/);
    },
  },
  {
    name: "password",
    what: "git clone waits; e-mail and password, consent, Approve; the clone goes on",
    async run(stage, profile) {
      const person = await Person.at(stage, "password");
      const clone = person.clone();
      const page = await profile.open(await person.address(clone));
      await page.locator("input[name=identifier]").waitFor();
      assert.ok(page.url().startsWith(`${stage.app}/cli-auth?`), page.url());
      await profile.shoot(page, "sign-in");
      await identify(page, bob.email);
      await page.locator("input[name=password]:enabled:not([tabindex='-1'])").waitFor();
      await profile.shoot(page, "sign-in-password");
      await enterPassword(page, bob.password);
      const { approve } = await consent(page, bob.email);
      assert.equal(clone.ended, false, "git still waits");
      await profile.shoot(page, "consent-one");
      await approve.click();
      await listenerSays(page, "You are signed in");
      await profile.shoot(page, "done");
      await ended(clone);
      assert.deepEqual(await codesInHistory(profile, page), []);
      await keeps(stage, person, bob);
      await ended(person.clone("again"));
      assert.equal(person.opened, 1, "one browser for all of it");
    },
  },
  {
    name: "email-code",
    what: "a code sent by e-mail",
    async run(stage, profile) {
      const person = await Person.at(stage, "email-code");
      const clone = person.clone();
      const page = await profile.open(await person.address(clone));
      await identify(page, ada.email);
      await page.getByText("Use another method").click();
      await page.getByText(/email code/i).click();
      await page.locator("input[autocomplete='one-time-code']").first().waitFor();
      await profile.shoot(page, "sign-in-code");
      await page.keyboard.type(emailCode);
      const { approve } = await consent(page, ada.email);
      await approve.click();
      await listenerSays(page, "You are signed in");
      await ended(clone);
      await keeps(stage, person, ada);
    },
  },
  {
    name: "wrong-password",
    what: "a wrong password is an error under its field, the right one goes on",
    async run(stage, profile) {
      const person = await Person.at(stage, "wrong-password");
      const clone = person.clone();
      const page = await profile.open(await person.address(clone));
      await signIn(page, bob.email, "not his");
      await page.locator(".cl-formFieldErrorText", { hasText: "Password is incorrect" }).first().waitFor();
      await profile.shoot(page, "sign-in-wrong");
      await enterPassword(page, bob.password);
      const { approve } = await consent(page, bob.email);
      await approve.click();
      await listenerSays(page, "You are signed in");
      await ended(clone);
    },
  },
  {
    name: "deny",
    what: "Deny ends everything: git fails, no token exists",
    async run(stage, profile) {
      const person = await Person.at(stage, "deny");
      const { session } = await arriveSignedIn(stage, profile, bob);
      const clone = person.clone();
      const page = await profile.open(await person.address(clone));
      const { deny } = await consent(page, bob.email);
      await deny.click();
      await listenerSays(page, "Sign-in declined");
      await profile.shoot(page, "denied");
      assert.notEqual(await clone.exit, 0, "git fails");
      assert.match(clone.stderr, /declined|denied/i, clone.stderr);
      assert.doesNotMatch(clone.stderr, /panic|goroutine/, clone.stderr);
      await keepsNothing(person);
      const minted = stage.standIn.journal.entries.filter(({ path }) =>
        path.startsWith(`/v1/sessions/${session}/tokens`),
      );
      assert.deepEqual(minted, [], "no token was made");
    },
  },
  {
    name: "signed-in",
    what: "signed in already: one click",
    async run(stage, profile) {
      const person = await Person.at(stage, "signed-in");
      await arriveSignedIn(stage, profile, bob);
      const clone = person.clone();
      const page = await profile.open(await person.address(clone));
      const { approve } = await consent(page, bob.email);
      // A double click that began on another page must not land on Approve: it comes switched off.
      const html = await (await page.request.get(page.url(), { headers: { "sec-fetch-dest": "document" } })).text();
      const button = /<button[^>]*value="approve"[^>]*>/.exec(html)?.[0] ?? "";
      assert.match(button, /type="button"/);
      assert.match(button, /aria-disabled="true"/);
      await approve.click();
      await listenerSays(page, "You are signed in");
      await ended(clone);
      await keeps(stage, person, bob);
    },
  },
  {
    name: "in-view",
    what: "Approve is in view without scrolling, in a small window and on a telephone, in each language",
    async run(stage, profile) {
      // With the note about another account, which makes the page as tall as it can be.
      const query = new URLSearchParams({ ...parameters(40000), login_hint: bob.email });
      for (const [language, words] of Object.entries(spoken)) {
        await profile.speaking(language, async (other) => {
          await arriveSignedIn(stage, other, ada, { organization: stage.clerk.organizations.Acme });
          const page = await other.open(`${stage.app}/cli-auth?${query}`);
          const { approve } = await consent(page, ada.email, words);
          await page.getByText(`“${bob.email}”`).waitFor();
          await page.getByText("Acme", { exact: true }).first().waitFor();
          const logo = page.locator("main img");
          assert.ok(
            await logo.evaluate((/** @type {HTMLImageElement} */ image) =>
              image.decode().then(() => image.naturalWidth > 0),
            ),
            "the logo",
          );
          for (const [width, height] of [
            [390, 844],
            [1280, 640],
          ]) {
            await page.setViewportSize({ width, height });
            const box = await approve.boundingBox();
            const bottom = box.y + box.height;
            assert.ok(box.y > 0 && bottom < height, `${language} ${width}x${height}: Approve ends at ${bottom}`);
          }
          assert.equal(await page.locator("h1").count(), 1, "one heading");
          assert.match(await page.title(), / · Acme$/, "the application's name in the tab");
          assert.equal(await page.locator("main").getAttribute("lang"), language);
          await profile.shoot(page, `consent-${language}`);
        });
      }
    },
  },
  {
    name: "no-name",
    what: "Clerk has a logo that does not load, or says nothing of the application: the host stands alone",
    async run(stage, profile) {
      await arriveSignedIn(stage, profile, bob);
      const address = `${stage.app}/cli-auth?${new URLSearchParams(parameters(40000))}`;
      const host = new URL(stage.app).host;
      await profile.context.route(`${stage.clerk.issuer}/logo.svg`, (route) => route.abort());
      const page = await profile.open(address);
      await consent(page, bob.email);
      await page.locator("main section > p", { hasText: "Acme" }).first().waitFor();
      await page.waitForFunction(() => document.querySelector("main img") === null);
      await page.addInitScript(() => {
        const { json } = Response.prototype;
        Response.prototype.json = async function () {
          const answer = await json.call(this);
          if (answer?.display_config) {
            Object.assign(answer.display_config, { application_name: null, logo_image_url: "javascript:alert(1)" });
          }
          return answer;
        };
      });
      await page.goto(address);
      await consent(page, bob.email);
      await page.locator("button:enabled", { hasText: "Use another account" }).waitFor(); // Clerk's script is there
      assert.equal(await page.locator("main section > p").first().innerText(), host);
      assert.match(await page.title(), new RegExp(` · ${host}$`));
    },
  },
  {
    name: "languages",
    what: "the sign-in page and Clerk's card speak the browser's language, and so do the pages for errors",
    async run(stage, profile) {
      const query = new URLSearchParams(parameters(40000));
      for (const [locale, button, heading] of [
        ["de-AT", "Fortsetzen", "Dieser Anmeldelink geht nicht"],
        ["fr-CH", "Continuer", "Ce lien de connexion ne fonctionne pas"],
        ["pt-BR", "Continue", "This sign-in link does not work"],
      ]) {
        await profile.speaking(locale, async (other) => {
          const page = await other.open(`${stage.app}/cli-auth?${query}`);
          await page.locator(".cl-formButtonPrimary", { hasText: button }).waitFor();
          assert.equal(await page.locator("h1").count(), 1, "one heading");
          const name = locale.slice(0, 2);
          if (name !== "pt") await profile.shoot(page, `sign-in-${name}`);
          await page.goto(`${stage.app}/cli-auth?${query}&state=`);
          await page.getByRole("heading", { name: heading }).waitFor();
          if (name !== "pt") await profile.shoot(page, `bad-request-${name}`);
        });
      }
    },
  },
  {
    name: "keyboard",
    what: "the keyboard alone: Tab reaches Approve at once, Enter presses it once it is ready",
    async run(stage, profile) {
      const person = await Person.at(stage, "keyboard");
      const clone = person.clone();
      const page = await profile.open(await person.address(clone));
      await page.locator("input[name=identifier]").waitFor();
      await page.locator("input[name=identifier]").focus();
      await page.keyboard.type(bob.email);
      await page.keyboard.press("Enter");
      await page.locator("input[name=password]:enabled:not([tabindex='-1'])").waitFor();
      await page.locator("input[name=password]:enabled:not([tabindex='-1'])").focus();
      await page.keyboard.type(bob.password);
      await page.keyboard.press("Enter");
      // Within the first half second the button cannot be pressed, and is reached all the same.
      await page.locator("button[value=approve]").waitFor();
      await page.evaluate(() => {
        window.dispatchEvent(new Event("blur"));
      });
      await page.locator("button[value=approve][aria-disabled=true]").waitFor();
      const visited = [];
      for (let n = 0; n < 8 && visited.at(-1) !== "approve"; n += 1) {
        await page.keyboard.press("Tab");
        const reached = () => document.activeElement?.getAttribute("value") || document.activeElement?.textContent;
        visited.push(await page.evaluate(reached));
      }
      assert.equal(visited.at(-1), "approve", `Tab passes ${visited}`);
      const outline = () => document.activeElement && getComputedStyle(document.activeElement).outlineStyle;
      assert.notEqual((await page.evaluate(outline)) ?? "none", "none");
      await page.keyboard.press("Enter");
      assert.equal(clone.ended, false, "too early to count");
      assert.equal(new URL(page.url()).pathname, "/cli-auth");
      await page.evaluate(() => window.dispatchEvent(new Event("focus")));
      await page.locator("button[value=approve][aria-disabled=false]").waitFor();
      await page.keyboard.press("Enter");
      await listenerSays(page, "You are signed in");
      await ended(clone);
      await keeps(stage, person, bob);
    },
  },
  {
    name: "theme",
    what: "the page follows the app's own dark or light mode, and takes its colours",
    async run(stage, profile) {
      await arriveSignedIn(stage, profile, bob);
      const page = await profile.open(`${stage.app}/cli-auth?${new URLSearchParams(parameters(40000))}`);
      await consent(page, bob.email);
      const ground = () => page.locator("main").evaluate((main) => getComputedStyle(main).backgroundColor);
      const [light, dark] = ["rgb(244, 245, 247)", "rgb(14, 16, 20)"];
      const set = (/** @type {string} */ code) =>
        page.evaluate((text) => new Function("root", text)(document.documentElement), code);
      assert.equal(await ground(), light);
      for (const [on, off, want] of [
        ['root.classList.add("dark")', 'root.classList.remove("dark")', dark],
        ['root.dataset.theme = "dark"', "delete root.dataset.theme", dark],
        ['root.style.colorScheme = "dark"', 'root.style.colorScheme = ""', dark],
        ['root.style.setProperty("--cli-auth-ground", "#123456")', 'root.removeAttribute("style")', "rgb(18, 52, 86)"],
      ]) {
        await set(on);
        assert.equal(await ground(), want, on);
        await set(off);
        assert.equal(await ground(), light, off);
      }
      await page.emulateMedia({ colorScheme: "dark" });
      assert.equal(await ground(), dark);
      await set('root.dataset.theme = "light"');
      assert.equal(await ground(), light, "the app's own choice goes before the system's");
    },
  },
  {
    name: "second-tab",
    what: "the same request in two tabs: one approval counts, the other does no harm",
    async run(stage, profile) {
      const person = await Person.at(stage, "second-tab");
      const { session } = await arriveSignedIn(stage, profile, bob);
      const clone = person.clone();
      const first = await profile.open(await person.address(clone));
      const { approve } = await consent(first, bob.email);
      const second = await profile.open(first.url());
      const other = await consent(second, bob.email);
      await first.bringToFront();
      await approve.click();
      await listenerSays(first, "You are signed in");
      await ended(clone);
      const before = await person.kept();

      await second.bringToFront();
      // The helper is gone, or answers once more that this is over.
      const outcome = Promise.race([
        second.waitForEvent("requestfailed", (request) => request.url().startsWith("http://127.0.0.1:")),
        second.waitForEvent("response", (response) => response.url().startsWith("http://127.0.0.1:")),
      ]);
      await other.approve.click();
      await outcome;
      assert.deepEqual(await person.kept(), before, "the session is as it was");
      const minted = stage.standIn.journal.entries.filter(({ path }) =>
        path.startsWith(`/v1/sessions/${session}/tokens`),
      );
      assert.equal(minted.length, 1, "one code was redeemed");
      await keeps(stage, person, bob);
    },
  },
  {
    name: "revoked",
    what: "the Clerk session is revoked: no refresh, one new sign-in",
    async run(stage, profile) {
      const person = await Person.at(stage, "revoked");
      await arriveSignedIn(stage, profile, bob);
      const clone = person.clone();
      const page = await profile.open(await person.address(clone));
      await (await consent(page, bob.email)).approve.click();
      await listenerSays(page, "You are signed in");
      await ended(clone);
      const first = (await person.kept()).record;

      // While the session lives, a token near its end is replaced without anybody being asked.
      await person.age(590);
      await ended(person.clone("refreshed"));
      const second = (await person.kept()).record;
      assert.notEqual(second.refresh_token, first.refresh_token, "refresh tokens rotate");
      assert.equal(person.opened, 1, "no browser for a refresh");

      await stage.control("/session", { session: claimsOf(second.access_token).sid, status: "revoked" });
      await person.age(590);
      const again = person.clone("again");
      const fresh = await profile.open(await person.address(again));
      await signIn(fresh, bob.email, bob.password);
      await (await consent(fresh, bob.email)).approve.click();
      await listenerSays(fresh, "You are signed in");
      await ended(again);
      assert.equal(person.opened, 2, "one browser more");
      const third = (await person.kept()).record;
      assert.notEqual(claimsOf(third.access_token).sid, claimsOf(first.access_token).sid, "another Clerk session");
      await keeps(stage, person, bob);
    },
  },
  {
    name: "machines",
    what: "the machines that are signed in: the consent page leads there, and one that is signed out gets no more",
    async run(stage, profile) {
      const person = await Person.at(stage, "machines");
      const query = new URLSearchParams(parameters(40000));
      await arriveSignedIn(stage, profile, bob);
      const clone = person.clone();
      const page = await profile.open(await person.address(clone));
      await (await consent(page, bob.email)).approve.click();
      await listenerSays(page, "You are signed in");
      await ended(clone);

      await page.goto(`${stage.app}/cli-auth?${query}`);
      await page.getByRole("link", { name: "Signed-in machines" }).click();
      const out = page.getByRole("button", { name: "Sign out this machine" });
      await out.first().waitFor();
      const before = await out.count();
      await profile.shoot(page, "machines");
      await out.first().click(); // the one that got a token last
      await page.waitForFunction(
        ({ name, count }) =>
          [...document.querySelectorAll("button")].filter(({ textContent }) => textContent === name).length < count,
        { name: "Sign out this machine", count: before },
      );
      if (before === 1) {
        await page.getByText("No machine is signed in as you.").waitFor();
        await profile.shoot(page, "machines-none");
      }

      const check = person.helper("status", "--check");
      assert.equal(await check.exit, 4, check.output());
      assert.match(check.output().replace(/\s+/g, " "), /you signed this machine out in the web app/);
      await profile.speaking("de-AT", async (other) => {
        const german = await other.open(`${stage.app}/cli-auth/machines`);
        await german.locator(".cl-formButtonPrimary", { hasText: "Fortsetzen" }).waitFor();
        assert.equal(await german.locator("h1").count(), 1, "one heading");
        await other.shoot(german, "machines-sign-in-de");
      });
    },
  },
  {
    name: "organizations",
    what: "another organisation is chosen on the consent page, and the token names it",
    async run(stage, profile) {
      const person = await Person.at(stage, "organizations");
      const { organizations } = stage.clerk;
      await arriveSignedIn(stage, profile, ada, { organization: organizations.Acme });
      const clone = person.clone();
      const page = await profile.open(await person.address(clone));
      await consent(page, ada.email);
      await profile.shoot(page, "consent-several");
      await chooseOrganization(page, "Personal account");
      await chooseOrganization(page, "Lab");
      await (await consent(page, ada.email)).approve.click();
      await listenerSays(page, "You are signed in");
      await ended(clone);
      await keeps(stage, person, ada, organizations.Lab);
    },
  },
  {
    name: "another-account",
    what: "use another account: signed out, back to <SignIn/> with the same request",
    async run(stage, profile) {
      const person = await Person.at(stage, "another-account");
      const { session } = await arriveSignedIn(stage, profile, ada);
      const clone = person.clone();
      const page = await profile.open(await person.address(clone));
      const { another } = await consent(page, ada.email);
      const before = new URL(page.url());
      await another.click();
      await page.locator("input[name=identifier]").waitFor();
      const after = new URL(page.url());
      for (const name of Object.keys(parameters(0))) {
        assert.equal(after.searchParams.get(name), before.searchParams.get(name), name);
      }
      await signIn(page, bob.email, bob.password);
      await (await consent(page, bob.email)).approve.click();
      await listenerSays(page, "You are signed in");
      await ended(clone);
      await keeps(stage, person, bob);
      const { sessions } = await stage.control("/sessions", { user: ada.email });
      assert.notEqual(
        sessions.find((/** @type {{ id: string }} */ { id }) => id === session).status,
        "active",
        "the first account is signed out",
      );
    },
  },
  {
    name: "hint",
    what: "login --as another account than the browser's: the page says so and fills in the address",
    async run(stage, profile) {
      const person = await Person.at(stage, "hint");
      await arriveSignedIn(stage, profile, ada);
      const login = person.helper("login", "acme", "--as", bob.email);
      const page = await profile.open(await person.address(login));
      const { another } = await consent(page, ada.email);
      await page.getByText(`“${bob.email}”`).waitFor();
      await profile.shoot(page, "consent-hint");
      await another.click();
      const field = page.locator("input[name=identifier]");
      await field.waitFor();
      assert.equal(await field.inputValue(), bob.email);
      await signIn(page, bob.email, bob.password);
      const { approve } = await consent(page, bob.email);
      assert.equal(await page.getByText(`“${bob.email}”`).count(), 0, "no warning for the right account");
      await approve.click();
      await listenerSays(page, "You are signed in");
      await ended(login);
      await keeps(stage, person, bob);
    },
  },
  {
    name: "stale-page",
    what: "the session's organisation changed while the page was open: Approve asks again, for the new one",
    async run(stage, profile) {
      const person = await Person.at(stage, "stale-page");
      const { organizations } = stage.clerk;
      const { session } = await arriveSignedIn(stage, profile, ada, { organization: organizations.Acme });
      const clone = person.clone();
      const page = await profile.open(await person.address(clone));
      const { approve } = await consent(page, ada.email);
      // As from another tab. The cookie still says what this one had: every tab writes it for itself.
      await stage.control("/organization", { session, id: organizations.Lab });
      await approve.click();
      await organization(page, "Lab");
      assert.equal(clone.ended, false, "nothing was approved");
      await (await consent(page, ada.email)).approve.click();
      await listenerSays(page, "You are signed in");
      await ended(clone);
      await keeps(stage, person, ada, organizations.Lab);
    },
  },
  {
    name: "stale-cookie",
    what: "the machine slept and the session cookie is over: Approve comes back to the question, not to an error",
    async run(stage, profile) {
      const person = await Person.at(stage, "stale-cookie");
      const { session, cookies } = await arriveSignedIn(stage, profile, bob);
      const clone = person.clone();
      const page = await profile.open(await person.address(clone));
      const { approve } = await consent(page, bob.email);
      const token = await expired(stage, session);
      // A machine that sleeps runs no script. Clerk's would write a fresh cookie over the old one, every 1.5 s.
      await page.evaluate(() => Object.defineProperty(document, "cookie", { get: () => "", set: () => {} }));
      await profile.setCookies(withSession(cookies, token));
      const asked = page.waitForRequest(`${stage.app}/api/cli-auth/approve`);
      const [approval] = await Promise.all([asked, approve.click()]);
      assert.match((await approval.allHeaders()).cookie, new RegExp(token), "the old cookie was sent");
      await page.waitForURL(`${stage.app}/cli-auth?**`);
      assert.equal(clone.ended, false, "nothing was approved");
      await (await consent(page, bob.email)).approve.click();
      await listenerSays(page, "You are signed in");
      await ended(clone);
      await keeps(stage, person, bob);
    },
  },
  {
    name: "handshake",
    what: "the cookie is over and Clerk's handshake renews it, for no page: renewed once more by the page's script",
    async run(stage, profile) {
      const person = await Person.at(stage, "handshake");
      const { session, cookies } = await arriveSignedIn(stage, profile, bob);
      await profile.setCookies(withSession(cookies, await expired(stage, session)));
      const clone = person.clone();
      const address = await person.address(clone);
      const page = await profile.context.newPage();
      const handshake = page.waitForRequest(`${stage.clerk.issuer}/v1/client/handshake?**`);
      await Promise.all([handshake, page.goto(address)]);
      await (await consent(page, bob.email)).approve.click();
      await listenerSays(page, "You are signed in");
      await ended(clone);
      await keeps(stage, person, bob);
    },
  },
  {
    name: "no-azp",
    what: "a cookie that names no page, or another app of this machine: the question comes without a click",
    async run(stage, profile) {
      for (const { name, origin } of [{ name: "no-azp" }, { name: "other-azp", origin: "http://localhost:1" }]) {
        const person = await Person.at(stage, name);
        await arriveSignedIn(stage, profile, bob, { origin });
        const clone = person.clone();
        const page = await profile.open(await person.address(clone));
        const { approve } = await consent(page, bob.email);
        assert.equal(await azpOf(profile), stage.app, "the cookie names this app now");
        await approve.click();
        await listenerSays(page, "You are signed in");
        await ended(clone);
        await keeps(stage, person, bob);
      }
    },
  },
  {
    name: "no-azp-approve",
    what: "the cookie has lost its page while the question was open: Approve comes back to it, and then works",
    async run(stage, profile) {
      const person = await Person.at(stage, "no-azp-approve");
      const { session, cookies } = await arriveSignedIn(stage, profile, bob);
      const clone = person.clone();
      const page = await profile.open(await person.address(clone));
      const { approve } = await consent(page, bob.email);
      await page.evaluate(() => Object.defineProperty(document, "cookie", { get: () => "", set: () => {} }));
      const { token } = await stage.control("/token", { kind: "session", session });
      await profile.setCookies(withSession(cookies, token));
      const asked = page.waitForRequest(`${stage.app}/api/cli-auth/approve`);
      await approve.click();
      assert.match((await (await asked).allHeaders()).cookie, new RegExp(token), "that cookie was sent");
      await page.waitForURL(`${stage.app}/cli-auth?**`);
      assert.equal(clone.ended, false, "nothing was approved");
      await (await consent(page, bob.email)).approve.click();
      await listenerSays(page, "You are signed in");
      await ended(clone);
      await keeps(stage, person, bob);
    },
  },
  {
    name: "no-renewal",
    what: "Clerk renews nothing, or again for no page: the page says so, and the next attempt works",
    slow: true, // Clerk's script tries again for a quarter of a minute
    async run(stage, profile) {
      const person = await Person.at(stage, "no-renewal");
      const { session, cookies } = await arriveSignedIn(stage, profile, bob, { origin: undefined });
      const clone = person.clone();
      const tokens = `${stage.clerk.issuer}/v1/client/sessions/${session}/tokens?**`;
      await profile.context.route(tokens, (route) => route.abort());
      // Clerk's script itself brings a good token when it starts, which it must not here.
      await freezeCookies(profile);
      const page = await profile.open(await person.address(clone));
      const again = page.getByRole("link", { name: /try again/i });
      await page.getByRole("alert").filter({ hasText: "does not answer" }).waitFor();
      await profile.shoot(page, "no-renewal");

      await profile.context.unroute(tokens);
      await again.click();
      await page.getByRole("alert").filter({ hasText: "is not for localhost" }).waitFor();
      const renewed = new URL(page.url());
      assert.match(renewed.searchParams.get("renewed") ?? "", /^\d+$/, "it was asked once and not for ever");
      await profile.shoot(page, "no-azp");

      // An address of yesterday, in a tab that is opened again, is asked anew.
      await page.evaluate(() => localStorage.setItem("thawed", "1"));
      renewed.searchParams.set("renewed", "1700000000");
      await profile.setCookies(cookies);
      await page.goto(renewed.href);
      await (await consent(page, bob.email)).approve.click();
      await listenerSays(page, "You are signed in");
      await ended(clone);
      await keeps(stage, person, bob);
    },
  },
  {
    name: "stolen-token",
    what: "a browser with nothing but a stolen token in its cookie gets the sign-in form",
    async run(stage, profile) {
      const person = await Person.at(stage, "stolen-token");
      const { session } = await stage.control("/sign-in", { user: bob.email, origin: stage.app });
      const { token } = await stage.control("/token", { kind: "session", session, seconds: 600 });
      const { cookies } = await stage.control("/browser");
      const now = String(Math.floor(Date.now() / 1000) - 10);
      const stolen = Object.fromEntries(
        Object.keys(cookies).map((name) => {
          if (name.startsWith("__session")) return [name, token];
          return [name, name.startsWith("__client_uat") ? now : cookies[name]];
        }),
      );
      await profile.setCookies(stolen);
      const login = person.helper("login", "acme");
      const page = await profile.open(await person.address(login));
      await page.locator("input[name=identifier]").waitFor();
      assert.equal(await page.getByText(bob.email).count(), 0, "whose token it is stays unsaid");
      assert.equal(await page.getByRole("button", { name: "Approve" }).count(), 0);
      // The thief's own account is served, and no other.
      await signIn(page, ada.email, ada.password);
      await (await consent(page, ada.email)).approve.click();
      await listenerSays(page, "You are signed in");
      await ended(login);
      await keeps(stage, person, ada);
    },
  },
  {
    name: "bad-request",
    what: "a wrong parameter is a page that names the site and no parameter, and leads nowhere",
    async run(stage, profile) {
      await arriveSignedIn(stage, profile, bob);
      const page = await profile.context.newPage();
      const query = new URLSearchParams({ ...parameters(40000), redirect_uri: "http://127.0.0.1:40000@evil.example/" });
      const response = await page.goto(`${stage.app}/cli-auth?${query}`);
      assert.equal(response.status(), 400);
      await page.getByText(new URL(stage.app).host).first().waitFor();
      const detail = await page.locator("meta[name=cli-auth-error]").getAttribute("content");
      assert.match(detail ?? "", /redirect_uri/, "for a developer, in the source");
      assert.doesNotMatch(await page.locator("body").innerText(), /_/, "no parameter is shown to a person");
      assert.doesNotMatch(await page.content(), /evil\.example/, "the value is not repeated");
      await profile.shoot(page, "bad-request");
    },
  },
  {
    name: "clerk-down",
    what: "Clerk does not answer: the page says so, and goes on when it does",
    async run(stage, profile) {
      const person = await Person.at(stage, "clerk-down");
      const { session } = await arriveSignedIn(stage, profile, bob);
      const clone = person.clone();
      await stage.control("/fault", { path: `/v1/sessions/${session}`, status: 503 });
      const page = await profile.open(await person.address(clone));
      const again = page.getByRole("link", { name: /try again/i });
      await again.waitFor();
      await profile.shoot(page, "clerk-down");
      await again.click();
      await (await consent(page, bob.email)).approve.click();
      await listenerSays(page, "You are signed in");
      await ended(clone);
    },
  },
  {
    name: "no-scripts",
    what: "Clerk's scripts do not load: the page says so in place of an empty frame",
    slow: true, // Clerk tries again for a quarter of a minute
    async run(stage, profile) {
      await profile.context.route(`${stage.clerk.issuer}/npm/**`, (route) => route.abort());
      profile.expected = /Failed to load Clerk/;
      const page = await profile.open(`${stage.app}/cli-auth?${new URLSearchParams(parameters(40000))}`);
      await page.getByRole("alert").filter({ hasText: "cannot be loaded" }).waitFor({ timeout: 45_000 });
      await profile.shoot(page, "no-scripts");
    },
  },
  {
    name: "framed",
    what: "a page of another origin cannot show the consent page in a frame",
    async run(stage, profile) {
      await arriveSignedIn(stage, profile, bob);
      const url = `${stage.app}/cli-auth?${new URLSearchParams(parameters(40000))}`;
      const evil = await elsewhere(
        `<title>evil</title><iframe name="own" srcdoc="<p>shown</p>"></iframe><iframe name="stolen" src="${escaped(url)}"></iframe>`,
      );
      try {
        // Another port is another origin, but the same site: the browser sends the cookies along.
        const page = await profile.open(`http://localhost:${evil.port}/`);
        await page.frame("own").getByText("shown").waitFor();
        const stolen = page.frame("stolen");
        await stolen.waitForLoadState();
        assert.equal(stolen.url(), "chrome-error://chromewebdata/");
        assert.equal(await stolen.getByRole("button").count(), 0, "nothing to press");
        profile.expected = /frame-ancestors|X-Frame-Options|refused to connect/i;
        const refused = profile.console.filter((line) =>
          /frame-ancestors|X-Frame-Options|refused to connect/i.test(line),
        );
        assert.notEqual(refused.length, 0, `the browser says why\n${profile.console.join("\n")}`);
      } finally {
        evil.close();
      }
    },
  },
  {
    name: "forged-form",
    what: "a form of another origin cannot approve, whatever cookies it brings",
    async run(stage, profile) {
      const { session, organization } = await arriveSignedIn(stage, profile, bob);
      await profile.loosenCookies();
      const listener = await elsewhere("the listener");
      const fields = { ...parameters(listener.port), decision: "approve", session, organization: organization ?? "" };
      const action = `${stage.app}/api/cli-auth/approve`;
      const evil = await elsewhere(`${form(action, fields)}<script>document.forms[0].submit()</script>`);
      try {
        // Another site, and another origin of the same site.
        for (const origin of [evil.origin, `http://localhost:${evil.port}`]) {
          const tab = await profile.context.newPage();
          const answered = tab.waitForResponse(action);
          await tab.goto(origin, { waitUntil: "commit" }).catch(() => {}); // the form may be sent before that
          const answer = await answered;
          assert.equal(answer.status(), 403, origin);
          const sent = await answer.request().allHeaders();
          assert.match(sent.cookie ?? "", /__session=/, `the cookies did come along from ${origin}`);
        }
        assert.deepEqual([...listener.asked], [], "the listener heard nothing");

        // The same form on the companion's own origin does reach the listener: it was the origin that was refused.
        const page = await profile.open(`${stage.app}/cli-auth?${new URLSearchParams(parameters(listener.port))}`);
        await consent(page, bob.email);
        await page.evaluate(
          (html) => {
            document.body.innerHTML = html;
            document.forms[0].submit();
          },
          form(action, fields),
        );
        await page.waitForURL(`${listener.origin}/callback?**`);
        assert.equal(listener.asked.filter((line) => line.startsWith("GET /callback?code=")).length, 1);
      } finally {
        evil.close();
        listener.close();
      }
    },
  },
  {
    name: "original",
    what: "a page of the original kind: login at a terminal, which asks before it keeps the token",
    async run(stage, profile) {
      const person = await Person.at(stage, "original", [
        `issuer = "${stage.clerk.issuer}"`,
        `legacy_page = "${stage.app}/original/cli-auth"`,
      ]);
      // script(1) gives the helper a terminal; what is written to its input is typed there.
      const login = () => person.start("script", "-qec", "clerk-credential-helper login", "/dev/null");
      const first = login();
      // Most such pages have never heard of a state, and do not send it back.
      const start = await fetch(await person.address(first), { redirect: "manual" });
      const address = new URL(start.headers.get("location") ?? "");
      address.searchParams.delete("state");
      const page = await profile.open(address.href);
      await page.locator("input[name=identifier]").waitFor();
      await profile.shoot(page, "original", { ours: false });
      await signIn(page, bob.email, bob.password);
      await first.said(/\[y\/N\]/i);
      assert.equal(await person.session(), undefined, "nothing is kept before the answer");
      first.process.stdin.write("y\n");
      await listenerSays(page, "You are signed in");
      await ended(first);
      const { record } = await person.kept();
      assert.equal(record.refresh_token ?? "", "", "nothing to refresh with");
      const token = person.helper("token", "acme");
      await ended(token);
      const { sub, iss } = claimsOf(token.stdout.trim());
      assert.deepEqual({ sub, iss }, { sub: stage.clerk.users[bob.email], iss: stage.clerk.issuer });

      // Sent back, the state proves that this sign-in is the helper's own, and there is nothing to ask.
      const second = login();
      await listenerSays(await profile.open(await person.address(second)), "You are signed in");
      await ended(second);
      assert.doesNotMatch(second.stdout, /\[y\/N\]/i);
    },
  },
  {
    name: "check",
    what: "companion check --sign-in finds nothing wrong",
    async run(stage, profile) {
      const person = await Person.at(stage, "check");
      await arriveSignedIn(stage, profile, bob);
      const check = person.helper("companion", "check", stage.app, "--sign-in");
      const approved = async () => {
        for (;;) {
          const page = await profile.open(await person.address(check));
          await (await consent(page, bob.email)).approve.click();
          await listenerSays(page, "You are signed in");
        }
      };
      await Promise.race([check.exit, approved()]);
      await ended(check);
      assert.ok(person.opened > 0, "a browser was asked for");
      // A development instance sends a browser that it does not know to Clerk first; no other line is without a verdict.
      const lines = check.stdout.trim().split("\n");
      const others = lines.filter(
        (line) => !line.startsWith("pass ") && !/^not told +authorize: .*first visit/.test(line),
      );
      assert.deepEqual(others, [], check.output());
      assert.ok(lines.length > 50, check.output());
    },
  },
  {
    name: "check-ci",
    what: "companion check --ci: with a policy, without one, with a hole, and with an issuer that is away",
    slow: true, // no browser
    async run(stage) {
      const issuer = await startCiIssuer();
      const away = await startCiIssuer();
      await away.close();
      const front = await inFront();
      const inside = await Person.at(stage, "check-ci-inside");
      const person = await Person.at(stage, "check-ci", [`companion = "${front.origin}"`]);
      try {
        const job = { repository: "acme/shop", ref: "refs/heads/main" };
        const policy = [issuer, away].map(({ url }, n) => ({
          name: `entry-${n}`,
          issuer: url,
          claims: job,
          machine: "CI_KEY",
          seconds: 300,
        }));
        const server = await onFreePort(async (port) => {
          front.to = port;
          return stage.serve(port, {
            CLI_AUTH_ORIGIN: front.origin,
            TEST_CI_POLICY: JSON.stringify(policy),
            CI_KEY: Object.values(stage.clerk.machines)[0],
          });
        });
        /** What fails or is not kept, and how many checks of the exchange pass. `entries` are in the app's folder. */
        const checked = async (
          /** @type {number} */ status,
          /** @type {object[] | undefined} */ entries,
          who = person,
          origin = front.origin,
        ) => {
          const args = entries ? ["--app", await appWith(join(who.home, `app-${randomUUID()}`), entries)] : [];
          const check = who.helper("companion", "check", origin, "--ci", ...args);
          await ended(check, status);
          const lines = check.stdout.split("\n"); // at the end, what fails is printed again without a column for it
          const those = (/** @type {RegExp} */ pattern) => lines.filter((line) => pattern.test(line));
          return {
            bad: those(/^(fail {6}|not kept {2})/),
            passed: those(/^pass +exchange/).length,
            output: check.output(),
          };
        };

        const [without, good, unreachable] = await Promise.all([
          checked(0, undefined, inside, stage.app),
          checked(0, policy),
          checked(1, policy.slice(1)), // whose issuer shows no keys
        ]);
        assert.equal(without.bad.length, 1, without.output);
        assert.match(without.bad[0], /^not kept +that CI jobs get tokens/);
        assert.equal(without.passed, 1, without.output);
        assert.deepEqual(good.bad, [], good.output);
        assert.ok(good.passed >= 27, good.output);
        assert.equal(unreachable.bad.length, 1, unreachable.output);
        assert.match(unreachable.bad[0], /^fail +exchange: the page has the keys of its policy's issuer: status 503/);

        // A page that lets strangers find out which issuers its policy names.
        front.tells = (form, answer) =>
          issuerOf(form.get("subject_token") ?? "") === issuer.url
            ? answer.replace('"error_description":"', "$&the issuer is known; ")
            : answer;
        const telling = await checked(1, policy);
        assert.equal(telling.bad.length, 1, telling.output);
        assert.match(telling.bad[0], /^fail +exchange: a refusal says nothing of the policy: 2 different answers/);
        assert.equal(telling.passed, good.passed - 1, telling.output);
        server.kill();
      } finally {
        front.close();
        await issuer.close();
      }
    },
  },
];

/**
 * The issuer that a JWT names, or nothing.
 * @param {string} jwt
 */
function issuerOf(jwt) {
  try {
    return claimsOf(jwt).iss;
  } catch {
    return undefined;
  }
}

/**
 * The folder of an app with this policy, as "--app" takes it.
 * @param {string} folder
 * @param {object[]} policy
 */
async function appWith(folder, policy) {
  await mkdir(join(folder, "app"), { recursive: true });
  await mkdir(join(folder, "lib", "cli-auth"), { recursive: true });
  await writeFile(join(folder, "package.json"), '{ "dependencies": { "next": "16.4.6", "@clerk/nextjs": "7.9.17" } }');
  await writeFile(
    join(folder, "lib", "cli-auth", "ci.ts"),
    `export const policy: Policy = ${JSON.stringify(policy, null, 2)};\n`,
  );
  return folder;
}

/** A server in front of the app at the port `to`, as many have; `tells` is what it makes of the answers to a form. */
async function inFront() {
  const front = {
    to: 0,
    origin: "",
    tells: (/** @type {URLSearchParams} */ _, /** @type {string} */ answer) => answer,
    close: () => {},
  };
  const server = createServer((request, response) => {
    /** @type {Buffer[]} */
    const sent = [];
    const { method, url: path } = request;
    const { "accept-encoding": _, ...headers } = request.headers; // the answers are to be read
    const asked = ask({ port: front.to, method, path, headers }, (answer) => {
      /** @type {Buffer[]} */
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => {
        const text = Buffer.concat(parts);
        const form = /form-urlencoded/.test(headers["content-type"] ?? "");
        const body = form ? front.tells(new URLSearchParams(Buffer.concat(sent).toString()), text.toString()) : text;
        const { "transfer-encoding": _, ...fields } = answer.headers;
        response
          .writeHead(answer.statusCode ?? 502, { ...fields, "content-length": Buffer.byteLength(body) })
          .end(body);
      });
      answer.on("error", () => response.destroy());
    });
    asked.on("error", () => response.destroy());
    request.on("data", (part) => sent.push(part)).pipe(asked);
  });
  front.origin = `http://localhost:${await listen(server)}`;
  front.close = () => {
    server.closeAllConnections();
    server.close();
  };
  return front;
}

/**
 * Waits until the consent page is for this organisation.
 * @param {Page} page
 * @param {string} name
 */
async function organization(page, name) {
  await page.locator("select:enabled", { has: page.locator("option:checked", { hasText: name }) }).waitFor();
}

/**
 * Chooses an organisation on the consent page, which then loads itself again.
 * @param {Page} page
 * @param {string} name
 */
async function chooseOrganization(page, name) {
  const loaded = page.waitForEvent("load");
  await page.getByRole("combobox").selectOption({ label: name });
  await loaded;
  await organization(page, name);
}
