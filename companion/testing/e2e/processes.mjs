// Programs that the browser tests start. Each gets a process group of its own, so that its end takes its children along.
import { spawn } from "node:child_process";

const maxOutput = 1024 * 1024;

/** @typedef {{ env?: NodeJS.ProcessEnv, cwd?: string }} Surroundings */

/** A started program and what it has said so far. */
export class Child {
  /**
   * @param {string} command
   * @param {string[]} args
   * @param {Surroundings} surroundings
   */
  constructor(command, args, { env, cwd }) {
    this.name = command;
    this.stdout = "";
    this.stderr = "";
    this.ended = false;
    /** @type {Set<() => void>} */
    this.waiting = new Set();
    // No controlling terminal: what waits for a person at one would wait for ever.
    this.process = spawn(command, args, { env, cwd, detached: true, stdio: ["pipe", "pipe", "pipe"] });
    for (const stream of /** @type {const} */ (["stdout", "stderr"])) {
      this.process[stream].setEncoding("utf8").on("data", (text) => {
        if (this[stream].length < maxOutput) this[stream] += text;
        this.look();
      });
    }
    this.process.stdin.on("error", () => {});
    /**
     * Resolves to the exit status, or to the name of the signal.
     * @type {Promise<number | string | null>}
     */
    this.exit = new Promise((resolve) => {
      const end = (/** @type {number | string | null} */ result) => {
        this.ended = true;
        this.look();
        resolve(result);
      };
      this.process.once("error", (error) => {
        this.stderr += String(error);
        end("error");
      });
      this.process.once("close", (status, signal) => end(status ?? signal));
    });
  }

  look() {
    for (const check of [...this.waiting]) check();
  }

  /**
   * Waits until the program has said something that fits; fails if it ends without.
   * @param {RegExp} pattern
   * @param {"stdout" | "stderr"} [stream]
   * @returns {Promise<RegExpExecArray>}
   */
  said(pattern, stream = "stdout") {
    return new Promise((resolve, reject) => {
      const check = () => {
        const match = pattern.exec(this[stream]);
        if (match) resolve(match);
        else if (this.ended) reject(new Error(`${this.name} ended and did not say ${pattern}\n${this.output()}`));
        else return;
        this.waiting.delete(check);
      };
      this.waiting.add(check);
      check();
    });
  }

  output() {
    return `stdout:\n${this.stdout}\nstderr:\n${this.stderr}`;
  }

  kill(signal = "SIGKILL") {
    if (this.ended || this.process.pid === undefined) return;
    try {
      process.kill(-this.process.pid, signal);
    } catch {
      // It has just ended.
    }
  }
}

/** Everything that was started and must not outlive the run. */
export class Children {
  /** @type {Child[]} */
  all = [];
  stopped = false;

  /**
   * @param {string} command
   * @param {string[]} args
   * @param {Surroundings} [options]
   */
  start(command, args, options = {}) {
    if (this.stopped) throw new Error(`${command}: the run is over`);
    const child = new Child(command, args, options);
    this.all.push(child);
    return child;
  }

  /**
   * Runs a program to its end and returns what it printed; fails unless it ends well.
   * @param {string} command
   * @param {string[]} args
   * @param {Surroundings} [options]
   */
  async run(command, args, options = {}) {
    const child = this.start(command, args, options);
    child.process.stdin.end();
    const status = await child.exit;
    if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${status}\n${child.output()}`);
    return child.stdout;
  }

  /** Ends everything that still runs, at once. */
  kill() {
    for (const child of this.all) child.kill();
  }

  async stop() {
    this.stopped = true;
    this.kill();
    await Promise.all(this.all.map((child) => child.exit));
  }
}
