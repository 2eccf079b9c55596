// Chromium, one for the run; each scenario has a profile of its own in it.
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** @import { Stage } from "../e2e.mjs" */
/** @import { Browser, Context, Page } from "./playwright.d.mts" */
/** @typedef {{ packages: string, clerk: Stage["clerk"], executable: string }} Parts what a browser is started with */

/** How long a page may take to show what a test waits for. A slow machine is slow, not wrong. */
export const patience = 20_000;

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/**
 * Starts Chromium. It finds the issuer at the stand-in, the loopback addresses, and nothing else in the world.
 * @param {Parts} parts
 * @returns {Promise<Browser>}
 */
export async function startBrowser({ packages, clerk, executable }) {
  const { chromium } = await import(pathToFileURL(join(packages, "playwright-core", "index.mjs")).href);
  const { hostname } = new URL(clerk.issuer);
  const rules = [
    `MAP ${hostname} 127.0.0.1:${new URL(clerk.frontend).port}`,
    "MAP * ~NOTFOUND",
    "EXCLUDE localhost",
    "EXCLUDE 127.0.0.1",
  ];
  return chromium.launch({
    executablePath: executable,
    chromiumSandbox: process.getuid?.() !== 0,
    args: [`--host-resolver-rules=${rules.join(", ")}`, `--ignore-certificate-errors-spki-list=${clerk.spki}`],
    timeout: 30_000,
    // The run answers signals itself; playwright would end it before it has cleaned up.
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
  });
}

/** One scenario's profile of the browser, and everything that its pages said and asked for. */
export class Profile {
  /** @type {string[]} */
  console = [];
  /** @type {Set<string>} */
  hosts = new Set();
  /** @type {string[]} */
  visits = []; // the documents and forms, and what Next's router fetched
  expected = /^$/; // what a page may say in the console, because a scenario wants it to

  /**
   * @param {Stage} stage
   * @param {string} name
   * @param {Context} context
   */
  constructor(stage, name, context) {
    this.stage = stage;
    this.name = name;
    this.context = context;
  }

  /**
   * @param {Stage} stage
   * @param {string} name
   * @param {{ locale?: string }} [options]
   */
  static async of(stage, name, options = {}) {
    const context = await stage.browser.newContext({
      viewport: { width: 1280, height: 640 },
      colorScheme: "light",
      locale: "en-GB",
      ...options,
    });
    const profile = new Profile(stage, name, context);
    context.setDefaultTimeout(patience);
    context.on("console", (message) => profile.console.push(`${message.type()}: ${message.text()}`));
    context.on("weberror", (error) => profile.console.push(`uncaught: ${error.error()}`));
    context.on("request", (request) => profile.hosts.add(new URL(request.url()).hostname));
    context.on("response", (response) => {
      const { pathname, searchParams } = new URL(response.url());
      const kind = response.request().resourceType();
      if (!["document", "fetch"].includes(kind) || !pathname.includes("cli-auth")) return;
      const marks = ["again", "renewed"].filter((name) => searchParams.has(name));
      profile.visits.push([response.status(), response.request().method(), pathname, kind, ...marks].join(" "));
    });
    return profile;
  }

  /**
   * Opens an address in a new tab.
   * @param {string} url
   */
  async open(url) {
    const page = await this.context.newPage();
    await page.goto(url);
    return page;
  }

  /**
   * Another profile, whose browser speaks another language; what its pages must not do fails the scenario as well.
   * @param {string} locale
   * @param {(other: Profile) => Promise<void>} run
   */
  async speaking(locale, run) {
    const other = await Profile.of(this.stage, this.name, { locale });
    try {
      await run(other);
      const faults = other.faults();
      if (faults.length > 0) throw new Error(`${locale}: the pages did what none may do:\n${faults.join("\n")}`);
    } catch (error) {
      if (error instanceof Error) error.stack += `\n${await other.describe()}`;
      throw error;
    } finally {
      await other.close();
    }
  }

  /** @param {Record<string, string>} cookies */
  async setCookies(cookies) {
    await this.context.addCookies(
      Object.entries(cookies).map(([name, value]) => ({ name, value, url: this.stage.app, sameSite: "Lax" })),
    );
  }

  /** As careless as an app can be with its cookies: from now on they come along from everywhere. */
  async loosenCookies() {
    const cookies = await this.context.cookies(this.stage.app);
    await this.context.addCookies(cookies.map((cookie) => ({ ...cookie, sameSite: "None", secure: true })));
  }

  /**
   * Pictures of a page, light, dark and on a telephone, once for each name in a run. Ours are judged as well.
   * @param {Page} page
   * @param {string} name
   */
  async shoot(page, name, { ours = true } = {}) {
    const { artifacts, shot } = this.stage;
    if (shot.has(name)) return;
    shot.add(name);
    await mkdir(artifacts, { recursive: true });
    const take = (/** @type {string} */ suffix) =>
      page.screenshot({ path: join(artifacts, `${name}-${suffix}.png`), animations: "disabled", fullPage: true });
    const wide = page.viewportSize();
    await take("light");
    const faint = await page.evaluate(hardToSee);
    if (ours) faint.push(...(await violations(page)));
    await page.emulateMedia({ colorScheme: "dark" });
    await take("dark");
    faint.push(...(await page.evaluate(hardToSee)));
    await page.setViewportSize({ width: 390, height: 844 });
    await take("390-dark");
    await page.emulateMedia({ colorScheme: "light" });
    await take("390");
    const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    await page.setViewportSize(wide);
    if (over > 0) throw new Error(`${name}: the page is ${over} pixels wider than a telephone`);
    if (ours && faint.length > 0) throw new Error(`${name}: hard to read: ${faint.join(", ")}`);
  }

  /** What the pages did that none may do: scripts that failed, a broken policy, a request to another host. */
  faults() {
    const bad = /uncaught|Content Security Policy|refused to|hydrat|Minified React error/i;
    const foreign = [...this.hosts].filter((host) => !this.stage.known.has(host));
    return [
      ...this.console.filter((line) => bad.test(line) && !this.expected.test(line)),
      ...foreign.map((host) => `a request to ${host}`),
    ];
  }

  /** What there is to know when a scenario failed. */
  async describe() {
    const parts = [];
    for (const page of this.context.pages()) {
      const text = await page
        .locator("body")
        .ariaSnapshot({ timeout: 1000 })
        .catch((error) => `(no text: ${error.message.split("\n")[0]})`);
      parts.push(`page ${page.url()}\n${text}`);
    }
    parts.push(`visits\n${this.visits.join("\n")}`);
    if (this.console.length > 0) parts.push(`console\n${this.console.slice(-40).join("\n")}`);
    return parts.join("\n\n");
  }

  async close() {
    await this.context.close();
  }
}

/**
 * In the page: the texts that do not stand out from what is behind them (WCAG 2.2, 1.4.3: 4.5 to 1, large ones 3 to 1).
 * Texts of what is switched off are not meant.
 * And the controls whose edge does not (1.4.11: 3 to 1).
 */
export function hardToSee() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  if (brush === null) throw new Error("the page has no canvas");
  // Colours as numbers, whatever notation they are in, painted over one another.
  const paint = (/** @type {string[]} */ layers) => {
    brush.clearRect(0, 0, 1, 1);
    for (const layer of layers) {
      brush.fillStyle = layer;
      brush.fillRect(0, 0, 1, 1);
    }
    return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (/** @type {number[]} */ rgb) => {
    const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const ground = dark ? "#121212" : "#ffffff"; // the browser's own, under color-scheme: light dark
  const faint = [];
  for (const element of document.body.querySelectorAll("*")) {
    const text = [...element.childNodes]
      .filter((node) => node instanceof Text)
      .map((node) => node.data.trim())
      .join("");
    if (text === "" || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.closest(":disabled, [aria-hidden=true], noscript, script, style, option")) continue;
    const style = getComputedStyle(element);
    const behind = [];
    for (let at = /** @type {Element | null} */ (element); at; at = at.parentElement)
      behind.unshift(getComputedStyle(at).backgroundColor);
    const back = paint([ground, ...behind]);
    const [a, b] = [luminance(paint([ground, ...behind, style.color])), luminance(back)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = Number.parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) {
      faint.push(`"${text.slice(0, 40)}" ${ratio.toFixed(1)} ${dark ? "dark" : "light"}`);
    }
  }
  const contrast = (/** @type {number[]} */ one, /** @type {number[]} */ other) => {
    const [a, b] = [luminance(one), luminance(other)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  for (const control of document.querySelectorAll("button, input, select, textarea, .cl-otpCodeFieldInput")) {
    if (!control.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (control.closest("[aria-hidden=true], [inert]") || control.getBoundingClientRect().width < 8) continue;
    const style = getComputedStyle(control);
    const around = [];
    for (let at = control.parentElement; at; at = at.parentElement) {
      around.unshift(getComputedStyle(at).backgroundColor);
    }
    const out = paint([ground, ...around]);
    const inside = contrast(paint([ground, ...around, style.backgroundColor]), out);
    const edge = contrast(paint([ground, ...around, style.borderTopColor]), out);
    const bordered = Number.parseFloat(style.borderTopWidth) > 0 && style.borderTopStyle !== "none";
    if (!bordered && style.boxShadow === "none" && inside < 1.01) continue; // it looks like a link
    if (Math.max(inside, bordered ? edge : 0) < 3) {
      faint.push(
        `the edge of ${control.getAttribute("name") || control.className} ${edge.toFixed(1)} ${dark ? "dark" : "light"}`,
      );
    }
  }
  return faint;
}

/**
 * What axe finds wrong with a page.
 * @param {Page} page
 */
async function violations(page) {
  await page.evaluate(axe);
  /** @type {() => Promise<import("axe-core").AxeResults>} */
  const run = () => Reflect.get(window, "axe").run(document, { resultTypes: ["violations"] });
  const found = await page.evaluate(run);
  return found.violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 160)}`));
}

/**
 * Signs in at <SignIn/> with a password.
 * @param {Page} page
 * @param {string} email
 * @param {string} password
 */
export async function signIn(page, email, password) {
  await identify(page, email);
  await enterPassword(page, password);
}

/**
 * @param {Page} page
 * @param {string} email
 */
export async function identify(page, email) {
  const field = page.locator("input[name=identifier]");
  await field.waitFor();
  if ((await field.inputValue()) !== email) await field.fill(email);
  await page.locator(".cl-formButtonPrimary").click();
}

/**
 * @param {Page} page
 * @param {string} password
 */
export async function enterPassword(page, password) {
  // <SignIn/> keeps a hidden password field beside the address for password managers; the real one is enabled.
  const field = page.locator("input[name=password]:enabled:not([tabindex='-1'])");
  await field.fill(password);
  await page.locator(".cl-formButtonPrimary").click();
}

/**
 * The consent page, once it is there.
 * @param {Page} page
 * @param {string} [email]
 */
export async function consent(page, email, words = ["Approve", "Deny", "Use another account"]) {
  const [approve, deny, another] = words;
  const buttons = {
    approve: page.getByRole("button", { name: approve, disabled: false, exact: true }),
    deny: page.getByRole("button", { name: deny, exact: true }),
    another: page.getByRole("button", { name: another, exact: true }),
  };
  await buttons.approve.waitFor();
  if (email) await page.getByText(email).first().waitFor();
  return buttons;
}

/**
 * Waits for a page of the helper's own listener that says this.
 * @param {Page} page
 * @param {string} heading
 */
export async function listenerSays(page, heading) {
  await page.waitForURL(/^http:\/\/127\.0\.0\.1:\d+\/done/);
  await page.getByRole("heading", { name: heading }).waitFor();
}
