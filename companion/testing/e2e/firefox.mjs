// Debian's own Firefox, over WebDriver BiDi (https://w3c.github.io/webdriver-bidi/). playwright-core demands a command
// of it that no release has yet, for media features. And it fills a field by its property, which React watches: the
// event that follows is no change to React, and Clerk's form stays empty. So the protocol is spoken here, with real
// keys and a real mouse, as far as the scenarios need it.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { hardToSee, patience } from "./browser.mjs";

/** @import { Stage } from "../e2e.mjs" */
/** @import { Profile } from "./browser.mjs" */

const wide = { width: 1280, height: 640 };
const telephone = { width: 390, height: 844 };

/** The keys that are no character, as WebDriver writes them. */
const keys = { Backspace: "\uE003", Tab: "\uE004", Enter: "\uE007" };

/** How long Firefox may take to start, and to answer one command. */
const limit = 60_000;

/** One Firefox for the run; each scenario has a user context of its own in it. */
export class Firefox {
  /**
   * Starts Firefox. It reaches the issuer through the stand-in's proxy, the loopback addresses, and nothing else.
   * @param {Stage} stage what the run has set up, see e2e.mjs
   * @param {string} executable
   */
  static async start(stage, executable) {
    const profile = join(stage.folder, "firefox");
    const proxy = new URL(stage.clerk.proxy);
    const preferences = {
      "network.proxy.type": 1,
      "network.proxy.http": proxy.hostname,
      "network.proxy.http_port": Number(proxy.port),
      "network.proxy.ssl": proxy.hostname,
      "network.proxy.ssl_port": Number(proxy.port),
      "services.settings.server": "data:,#remote-settings-dummy/v1", // in place of Mozilla's
      "layout.css.prefers-color-scheme.content-override": 1,
    };
    await mkdir(profile);
    const lines = Object.entries(preferences).map(
      ([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`,
    );
    await writeFile(join(profile, "user.js"), lines.join(""));
    const child = stage.children.start(
      executable,
      // System access is for the colour scheme: see dark below.
      ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0", "--remote-allow-system-access"],
      { cwd: stage.folder, env: { PATH: process.env.PATH, HOME: profile, MOZ_CRASHREPORTER_DISABLE: "1" } },
    );
    const [, address] = await child.said(/^WebDriver BiDi listening on (ws:\/\/\S+)$/m, "stderr");
    // Node 20 has no WebSocket of its own.
    const { ws: WebSocket } = (
      await import(pathToFileURL(join(stage.packages, "playwright-core", "lib", "utilsBundle.js")).href)
    ).default;
    const socket = new WebSocket(`${address}/session`);
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    const firefox = new Firefox(stage, socket);
    await firefox.send("session.new", { capabilities: { alwaysMatch: { acceptInsecureCerts: true } } });
    await firefox.send("session.subscribe", { events: ["log.entryAdded", "network.beforeRequestSent"] });
    return firefox;
  }

  sent = 0;
  /** @type {Map<number, {resolve: (result: any) => void, reject: (error: Error) => void, method: string}>} */
  waiting = new Map();
  /** @type {Profile | undefined} */
  profile; // the scenario's, which collects what the pages say and ask for

  /**
   * @param {Stage} stage
   * @param {any} socket that is open
   */
  constructor(stage, socket) {
    this.stage = stage;
    this.socket = socket;
    socket.on("message", (/** @type {Buffer} */ data) => this.hear(JSON.parse(String(data))));
    socket.on("close", () => {
      for (const { reject, method } of this.waiting.values()) reject(new Error(`${method}: Firefox is gone`));
      this.waiting.clear();
    });
  }

  /** @param {any} message */
  hear({ type, id, result, error, message, method, params }) {
    if (type === "event") {
      if (method === "log.entryAdded") {
        const uncaught = params.type === "javascript" && params.level === "error"; // a broken policy as well
        this.profile?.console.push(`${uncaught ? "uncaught" : params.level}: ${params.text}`);
      }
      if (method === "network.beforeRequestSent") this.profile?.hosts.add(new URL(params.request.url).hostname);
      return;
    }
    const one = this.waiting.get(id);
    this.waiting.delete(id);
    if (type === "success") one?.resolve(result);
    else one?.reject(new Error(`${one.method}: ${error}: ${message}`));
  }

  /**
   * Sends a command and returns its result.
   * @param {string} method
   * @param {object} params
   * @returns {Promise<any>}
   */
  send(method, params = {}) {
    return new Promise((resolve, reject) => {
      this.sent += 1;
      const id = this.sent;
      const late = setTimeout(() => reject(new Error(`${method}: no answer within ${limit / 1000} s`)), limit);
      const done = (/** @type {(value: any) => void} */ end) => (/** @type {any} */ value) => {
        clearTimeout(late);
        end(value);
      };
      this.waiting.set(id, { resolve: done(resolve), reject: done(reject), method });
      this.socket.send(
        JSON.stringify({ id, method, params }),
        (/** @type {any} */ error) => error && done(reject)(error),
      );
    });
  }

  /**
   * Whether pages are asked to be dark. WebDriver BiDi can say so, but no release of Firefox knows the command yet: it
   * is a preference, which only Firefox's own window can set.
   * @param {boolean} on
   */
  async dark(on) {
    const { contexts } = await this.send("browsingContext.getTree", { "moz:scope": "chrome" });
    const expression = `Services.prefs.setIntPref("layout.css.prefers-color-scheme.content-override", ${on ? 0 : 1})`;
    const target = { context: contexts[0].context };
    await this.send("script.evaluate", { expression, target, awaitPromise: false });
  }

  /**
   * Runs a scenario in a tab of a new user context.
   * @param {Profile} profile the scenario's; it collects what the pages say and ask for
   * @param {string} locale
   * @param {(tab: Tab) => Promise<void>} run
   */
  async tab(profile, locale, run) {
    this.profile = profile;
    // Firefox wants an icon of the helper's own page, whose policy allows none; and a script that a page still loads
    // when it goes on to the next one has failed for it. A script that is missed fails the scenario by itself.
    profile.expected = /favicon\.ico|ChunkLoadError/;
    const { userContext } = await this.send("browser.createUserContext");
    let tab;
    try {
      await this.send("emulation.setLocaleOverride", { locale, userContexts: [userContext] });
      const { context } = await this.send("browsingContext.create", { type: "tab", userContext });
      tab = new Tab(this, userContext, context);
      await tab.resize(wide);
      await run(tab);
    } catch (error) {
      if (tab && error instanceof Error) error.stack += `\n${await tab.describe(`failed-${profile.name}`)}`;
      throw error;
    } finally {
      await this.send("browser.removeUserContext", { userContext }).catch(() => {});
      this.profile = undefined;
    }
  }
}

/** A page in Firefox. Elements are named by a selector, and by their whole text where that does not suffice. */
class Tab {
  /**
   * @param {Firefox} firefox
   * @param {string} userContext
   * @param {string} context
   */
  constructor(firefox, userContext, context) {
    this.firefox = firefox;
    this.userContext = userContext;
    this.context = context;
  }

  /** @param {string} url */
  async open(url) {
    await this.firefox.send("browsingContext.navigate", { context: this.context, url, wait: "complete" });
  }

  /** @param {{width: number, height: number}} viewport in CSS pixels */
  async resize(viewport) {
    await this.firefox.send("browsingContext.setViewport", { context: this.context, viewport });
  }

  /** @param {Record<string, string>} cookies of the companion */
  async setCookies(cookies) {
    const domain = new URL(this.firefox.stage.app).hostname;
    for (const [name, value] of Object.entries(cookies)) {
      await this.firefox.send("storage.setCookie", {
        cookie: { name, value: { type: "string", value }, domain, path: "/", sameSite: "lax" },
        partition: { type: "storageKey", userContext: this.userContext },
      });
    }
  }

  /**
   * Calls a function in the page; arguments and result are JSON.
   * @param {(...args: any[]) => any} run
   * @param {...any} args
   */
  async evaluate(run, ...args) {
    const { result, exceptionDetails } = await this.firefox.send("script.callFunction", {
      functionDeclaration: `async (args) => JSON.stringify((await (${run})(...JSON.parse(args))) ?? null)`,
      arguments: [{ type: "string", value: JSON.stringify(args) }],
      target: { context: this.context },
      awaitPromise: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.text);
    return JSON.parse(result.value);
  }

  /**
   * Waits until a function has a true answer in the page, which may become another page meanwhile, and returns it.
   * @param {string} what is waited for
   * @param {(...args: any[]) => any} run
   * @param {...any} args
   */
  async until(what, run, ...args) {
    const end = performance.now() + patience;
    let last = "";
    while (performance.now() < end) {
      try {
        const answer = await this.evaluate(run, ...args);
        if (answer) return answer;
        last = "";
      } catch (error) {
        last = `: ${error}`; // that page is gone
      }
      await delay(50);
    }
    throw new Error(`${what}: not there within ${patience / 1000} s${last}`);
  }

  /**
   * Waits for an element that a pointer can reach, until nothing moves, and returns its box.
   * @param {string} selector
   * @param {string} [text]
   */
  async find(selector, text) {
    const what = `${selector} ${text ?? ""}`;
    await this.until(what, within, selector, text);
    await this.until("the end of what moves", still);
    return this.until(what, within, selector, text);
  }

  /**
   * Waits for a text anywhere in the page.
   * @param {string} text
   */
  shows(text) {
    return this.until(`"${text}"`, (wanted) => document.body?.innerText.includes(wanted), text);
  }

  /**
   * Waits until an element has the focus.
   * @param {string} selector
   */
  focused(selector) {
    return this.until(`the focus on ${selector}`, (wanted) => document.activeElement?.matches(wanted), selector);
  }

  /**
   * Presses the mouse on an element.
   * @param {string} selector
   * @param {string} [text]
   */
  async click(selector, text) {
    const { x, y, width, height } = await this.find(selector, text);
    const at = { x: Math.round(x + width / 2), y: Math.round(y + height / 2) };
    await this.act({
      type: "pointer",
      id: "mouse",
      parameters: { pointerType: "mouse" },
      actions: [
        { type: "pointerMove", ...at },
        { type: "pointerDown", button: 0 },
        { type: "pointerUp", button: 0 },
      ],
    });
  }

  /**
   * Types a text, key by key, wherever the focus is.
   * @param {string} text
   */
  async type(text) {
    const actions = [...text].flatMap((value) => [
      { type: "keyDown", value },
      { type: "keyUp", value },
    ]);
    await this.act({ type: "key", id: "keyboard", actions });
  }

  /**
   * @param {keyof typeof keys} key
   * @param {number} [times]
   */
  press(key, times = 1) {
    return this.type(keys[key].repeat(times));
  }

  /** @param {object} source of actions */
  async act(source) {
    await this.firefox.send("input.performActions", { context: this.context, actions: [source] });
  }

  /** @param {string} name of the file, without its end */
  async picture(name) {
    const shot = await this.firefox.send("browsingContext.captureScreenshot", {
      context: this.context,
      origin: "document",
    });
    await writeFile(join(this.firefox.stage.artifacts, `${name}.png`), Buffer.from(shot.data, "base64"));
  }

  /**
   * Pictures of the page, in the light and in the dark, wide and on a telephone; fails if something is hard to see.
   * @param {string} name
   */
  async shoot(name) {
    const faults = [];
    for (const dark of [false, true]) {
      await this.firefox.dark(dark);
      await this.until("the colours", (on) => matchMedia("(prefers-color-scheme: dark)").matches === on, dark);
      for (const [size, viewport] of Object.entries({ wide, telephone })) {
        await this.resize(viewport);
        await this.until("the end of what moves", still);
        await this.picture(`firefox-${name}-${size}-${dark ? "dark" : "light"}`);
        const over = await this.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        if (over > 0) faults.push(`${over} pixels wider than ${size}`);
      }
      faults.push(...(await this.evaluate(hardToSee)));
    }
    await this.firefox.dark(false);
    await this.resize(wide);
    if (faults.length > 0) throw new Error(`${name}: ${faults.join(", ")}`);
  }

  /**
   * What there is to know when a scenario failed.
   * @param {string} name of the picture
   */
  async describe(name) {
    try {
      await this.picture(name);
      return await this.evaluate(() => `Firefox at ${location.href}\n${document.body.innerText}`);
    } catch (error) {
      return `(Firefox shows nothing: ${error})`;
    }
  }
}

/** In the page: nothing moves, but what does for ever, and each image is there. */
function still() {
  const moves = document
    .getAnimations()
    .filter(({ playState, effect }) => playState === "running" && effect?.getComputedTiming().endTime !== Infinity);
  return moves.length === 0 && [...document.images].every(({ complete }) => complete);
}

/**
 * In the page: the box of the element, if it is where a pointer would reach it.
 * @param {string} selector
 * @param {string | undefined} text
 */
function within(selector, text) {
  for (const element of document.querySelectorAll(selector)) {
    if (typeof text === "string" && element.textContent?.trim() !== text) continue;
    element.scrollIntoView({ block: "nearest" });
    const { x, y, width, height } = element.getBoundingClientRect();
    const hit = document.elementFromPoint(x + width / 2, y + height / 2);
    if (width > 0 && hit && (element === hit || element.contains(hit))) return { x, y, width, height };
  }
  return undefined;
}
