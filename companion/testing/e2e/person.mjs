// A person at a machine of her own: a home folder with the helper's configuration and git's, a file as the keychain,
// and a $BROWSER that tells the test which page was to be opened.

import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { listen } from "../port.mjs";

/** @import { Stage } from "../e2e.mjs" */
/** @import { Child } from "./processes.mjs" */

/** What has come for one person. */
class Box {
  count = 0;
  /** @type {string[]} */
  letters = [];
  /** @type {((letter: string) => void)[]} */
  readers = [];

  /** @param {string} letter */
  put(letter) {
    this.count += 1;
    const reader = this.readers.shift();
    if (reader) reader(letter);
    else this.letters.push(letter);
  }

  /** @returns {Promise<string>} */
  async take() {
    return this.letters.shift() ?? new Promise((resolve) => this.readers.push(resolve));
  }
}

/** Receives the addresses that the helper gives to $BROWSER. */
export class Mailbox {
  /** @type {Map<string, Box>} */
  boxes = new Map();

  async open() {
    this.server = createServer(async (request, response) => {
      let text = "";
      for await (const part of request) text += part;
      response.end();
      this.box(request.url ?? "").put(text);
    });
    this.origin = `http://127.0.0.1:${await listen(this.server)}`;
  }

  /** @param {string} name */
  box(name) {
    const box = this.boxes.get(name) ?? new Box();
    this.boxes.set(name, box);
    return box;
  }

  close() {
    this.server?.closeAllConnections();
    this.server?.close();
  }
}

const quoted = (/** @type {string} */ text) => `'${text.replaceAll("'", `'\\''`)}'`;

/**
 * @typedef {object} Kept what the helper keeps of a session
 * @property {string} email
 * @property {string} access_token
 * @property {string} [refresh_token]
 * @property {string} received_at
 * @property {string} expires_at
 */

export class Person {
  /**
   * @param {Stage} stage
   * @param {string} name
   */
  constructor(stage, name) {
    this.stage = stage;
    this.home = join(stage.folder, "homes", name);
    this.box = stage.mailbox.box(`/${name}`);
    this.browser = join(this.home, "browser");
    this.env = {
      HOME: this.home,
      PATH: `${stage.bin}:${process.env.PATH}`,
      BROWSER: this.browser,
      HTTPS_PROXY: stage.clerk.proxy,
      CLERK_HELPER_STORE: "file",
      CLERK_HELPER_INTERACTIVE: "always", // a test has no terminal
      GIT_CONFIG_NOSYSTEM: "1",
      LC_ALL: "C.UTF-8",
      TERM: "dumb",
    };
  }

  /**
   * @param {Stage} stage
   * @param {string} name
   * @param {string[]} [profile] the lines of the profile "acme" but its hosts
   */
  static async at(stage, name, profile = [`companion = "${stage.app}"`]) {
    const person = new Person(stage, name);
    const { home, browser } = person;
    const config = join(home, ".config", "clerk-credential-helper");
    await mkdir(config, { recursive: true, mode: 0o700 });
    const lines = ["[profiles.acme]", ...profile, `hosts = ["${stage.git}"]`, `ca_file = "${stage.clerk.ca}"`, ""];
    await writeFile(join(config, "config.toml"), lines.join("\n"), { mode: 0o600 });
    await writeFile(
      join(home, ".gitconfig"),
      `[credential "http://${stage.git}"]\n\thelper =\n\thelper = clerk\n[advice]\n\tdetachedHead = false\n`,
    );
    const letter = 'fetch(process.argv[1],{method:"POST",body:process.argv[2]})';
    await writeFile(
      browser,
      `#!/bin/sh\nexec ${quoted(process.execPath)} -e ${quoted(letter)} ${stage.mailbox.origin}/${name} "$1"\n`,
    );
    await chmod(browser, 0o700);
    return person;
  }

  /**
   * @param {string} command
   * @param {string[]} args
   */
  start(command, ...args) {
    return this.stage.children.start(command, args, { env: this.env, cwd: this.home });
  }

  /** @param {string[]} args */
  helper(...args) {
    return this.start("clerk-credential-helper", ...args);
  }

  clone(folder = "clone") {
    return this.start("git", "clone", `http://${this.stage.git}/hello.git`, folder);
  }

  /**
   * The address that the helper wants opened, which `child` has started; fails if that ends without.
   * @param {Child} child
   */
  address(child) {
    /** @type {Promise<never>} */
    const early = child.exit.then((status) => {
      throw new Error(`${child.name} ended with ${status} and opened no browser\n${child.output()}`);
    });
    return Promise.race([this.box.take(), early]);
  }

  /** How often the helper wanted a browser. */
  get opened() {
    return this.box.count;
  }

  /**
   * The files below the home folder, with their text.
   * @returns {Promise<{ path: string, text: string }[]>}
   */
  async files(folder = this.home) {
    const found = [];
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) found.push(...(await this.files(path)));
      else if (entry.isFile()) found.push({ path, text: await readFile(path, "utf8") });
    }
    return found;
  }

  /** The file of the session that the helper keeps, or nothing. */
  async session() {
    const files = await this.files();
    return files.find(({ path }) => /\/session-[^/]*\.json$/.test(path));
  }

  /**
   * The session that the helper keeps, which there must be.
   * @returns {Promise<{ path: string, record: Kept }>}
   */
  async kept() {
    const file = await this.session();
    if (file === undefined) throw new Error("no session is kept");
    return { path: file.path, record: JSON.parse(file.text) };
  }

  /**
   * Makes the kept session that many seconds older, so that its token is near its end.
   * @param {number} seconds
   */
  async age(seconds) {
    const { path, record } = await this.kept();
    for (const name of /** @type {const} */ (["received_at", "expires_at"])) {
      record[name] = new Date(Date.parse(record[name]) - seconds * 1000).toISOString();
    }
    await writeFile(path, JSON.stringify(record), { mode: 0o600 });
  }
}
