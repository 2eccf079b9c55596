// A person at a machine of her own: a home folder with the helper's configuration and git's, a file as the keychain,
// and a $BROWSER that tells the test which page was to be opened.

import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";

/** Receives the addresses that the helper gives to $BROWSER. */
export class Mailbox {
  constructor() {
    this.boxes = new Map();
  }

  async open() {
    this.server = createServer(async (request, response) => {
      let text = "";
      for await (const part of request) text += part;
      response.end();
      this.box(request.url).put(text);
    });
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    this.origin = `http://127.0.0.1:${this.server.address().port}`;
  }

  box(name) {
    if (!this.boxes.has(name)) {
      const box = { count: 0, letters: [], readers: [] };
      box.put = (letter) => {
        box.count += 1;
        if (box.readers.length > 0) box.readers.shift()(letter);
        else box.letters.push(letter);
      };
      box.take = () =>
        box.letters.length > 0
          ? Promise.resolve(box.letters.shift())
          : new Promise((resolve) => box.readers.push(resolve));
      this.boxes.set(name, box);
    }
    return this.boxes.get(name);
  }

  close() {
    this.server?.closeAllConnections();
    this.server?.close();
  }
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

export class Person {
  /** `stage` is what the run has set up, see e2e.mjs. `profile` are the lines of the profile "acme" but its hosts. */
  static async at(stage, name, profile = [`companion = "${stage.app}"`]) {
    const person = new Person();
    Object.assign(person, { stage, home: join(stage.folder, "homes", name), box: stage.mailbox.box(`/${name}`) });
    const { home } = person;
    const config = join(home, ".config", "clerk-credential-helper");
    await mkdir(config, { recursive: true, mode: 0o700 });
    const lines = ["[profiles.acme]", ...profile, `hosts = ["${stage.git}"]`, `ca_file = "${stage.clerk.ca}"`, ""];
    await writeFile(join(config, "config.toml"), lines.join("\n"), { mode: 0o600 });
    await writeFile(
      join(home, ".gitconfig"),
      `[credential "http://${stage.git}"]\n\thelper =\n\thelper = clerk\n[advice]\n\tdetachedHead = false\n`,
    );
    const browser = join(home, "browser");
    const letter = 'fetch(process.argv[1],{method:"POST",body:process.argv[2]})';
    await writeFile(
      browser,
      `#!/bin/sh\nexec ${quoted(process.execPath)} -e ${quoted(letter)} ${stage.mailbox.origin}/${name} "$1"\n`,
    );
    await chmod(browser, 0o700);
    person.env = {
      HOME: home,
      PATH: `${stage.bin}:${process.env.PATH}`,
      BROWSER: browser,
      HTTPS_PROXY: stage.clerk.proxy,
      CLERK_HELPER_STORE: "file",
      CLERK_HELPER_INTERACTIVE: "always", // a test has no terminal
      GIT_CONFIG_NOSYSTEM: "1",
      LC_ALL: "C.UTF-8",
      TERM: "dumb",
    };
    return person;
  }

  start(command, ...args) {
    return this.stage.children.start(command, args, { env: this.env, cwd: this.home });
  }

  helper(...args) {
    return this.start("clerk-credential-helper", ...args);
  }

  clone(folder = "clone") {
    return this.start("git", "clone", `http://${this.stage.git}/hello.git`, folder);
  }

  /** The address that the helper wants opened, which `child` has started; fails if that ends without. */
  address(child) {
    const early = child.exit.then((status) => {
      throw new Error(`${child.name} ended with ${status} and opened no browser\n${child.output()}`);
    });
    return Promise.race([this.box.take(), early]);
  }

  /** How often the helper wanted a browser. */
  get opened() {
    return this.box.count;
  }

  /** The files below the home folder, with their text. */
  async files(folder = this.home) {
    const found = [];
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) found.push(...(await this.files(path)));
      else if (entry.isFile()) found.push({ path, text: await readFile(path, "utf8") });
    }
    return found;
  }

  /** The session that the helper keeps, as {path, record}, or nothing. */
  async session() {
    const files = await this.files();
    const file = files.find(({ path }) => /\/session-[^/]*\.json$/.test(path));
    return file && { path: file.path, record: JSON.parse(file.text) };
  }

  /** Makes the kept session that many seconds older, so that its token is near its end. */
  async age(seconds) {
    const { path, record } = await this.session();
    for (const name of ["received_at", "expires_at"]) {
      record[name] = new Date(Date.parse(record[name]) - seconds * 1000).toISOString();
    }
    await writeFile(path, JSON.stringify(record), { mode: 0o600 });
  }
}

/** The claims of a JWT, unverified: the backend that the tests run has verified it. */
export function claims(jwt) {
  return JSON.parse(Buffer.from(jwt.split(".")[1], "base64url").toString());
}
