// How long a refresh and an authorize page take under load, with a real Redis, and whether the app's memory grows.
//
//   node testing/attacks/build.mjs && node testing/load.mjs [--rate 200] [--seconds 600] [--processes 2]
//
// Three of four requests are refreshes, one opens the authorize page. They are sent at the given rate whether or not the
// earlier ones have been answered, so a slow answer is not hidden by a pause. The app runs as that many processes on one
// Redis, in turn. Their old objects get 192 MiB, so that memory which is kept for good ends
// the run, rather than look like what a garbage collector leaves for later. The stand-in for Clerk runs in this process.

import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import {
  asking,
  clerkForTests,
  openPage,
  patiently,
  refresh,
  signedInTokens,
  signIn,
  startApp,
} from "./attacks/app.mjs";
import { startRedis } from "./stores/servers.mjs";

const { values } = parseArgs({
  options: {
    rate: { type: "string", default: "200" },
    seconds: { type: "string", default: "600" },
    processes: { type: "string", default: "2" },
  },
});
const [rate, seconds, processes] = [Number(values.rate), Number(values.seconds), Number(values.processes)];
const GRANTS = rate * 2; // each is refreshed one time after the other

const clerk = await clerkForTests();
const redis = await startRedis();
const settings = { CLI_AUTH_STORE: redis.url, NODE_OPTIONS: "--max-old-space-size=192" };
const app = await startApp(clerk, settings);
const apps = [app];
while (apps.length < processes) apps.push(await startApp(clerk, { ...settings, CLI_AUTH_ORIGIN: app.origin }));
/** @type {Record<"refresh" | "authorize", number[]>} */
const took = { refresh: [], authorize: [] };
const statuses = new Map();

try {
  /** @type {import("./attacks/app.mjs").Session[]} */
  const people = [];
  for (let at = 0; at < 10; at++) people.push(await signIn(app, { seconds: seconds + 300 }));
  /** @type {string[]} */
  const free = [];
  for (let at = 0; at < GRANTS; at++) {
    const { refresh_token } = await patiently(() => signedInTokens(app, people[at % 10]));
    free.push(refresh_token);
  }
  console.log(`${GRANTS} grants; ${rate} requests a second for ${seconds} s`);

  const waiting = new Set();
  let busy = 0;
  /** @type {(kind: keyof typeof took, work: () => Promise<number>) => Promise<void>} */
  const send = async (kind, work) => {
    const began = performance.now();
    const status = await work().catch((error) => error.cause?.code ?? error.message);
    took[kind].push(performance.now() - began);
    statuses.set(`${kind} ${status}`, (statuses.get(`${kind} ${status}`) ?? 0) + 1);
  };
  const one = (/** @type {number} */ at) => {
    if (Math.floor(at / processes) % 4 === 0) {
      return send("authorize", async () => {
        const page = await openPage(apps[at % processes], asking().params, people[at % 10]);
        await page.arrayBuffer();
        return page.status;
      });
    }
    const token = free.shift();
    if (token === undefined) {
      busy += 1; // all grants wait for an answer
      return Promise.resolve();
    }
    return send("refresh", async () => {
      const answer = await refresh(apps[at % processes], token);
      const body = await answer.json();
      free.push(body.refresh_token ?? token);
      return answer.status;
    });
  };

  const began = performance.now();
  /** @type {[app: number, ours: NodeJS.CpuUsage]} */
  const busyBefore = [await processor(), process.cpuUsage()];
  let minute = 0;
  await new Promise((done) => {
    let sent = 0;
    const timer = setInterval(async () => {
      const passed = (performance.now() - began) / 1000;
      for (; sent < Math.min(passed, seconds) * rate; sent++) {
        const work = one(sent);
        waiting.add(work);
        work.finally(() => waiting.delete(work));
      }
      if (passed >= minute * 30) {
        minute += 1;
        console.log(`${Math.round(passed)} s: ${await memory()} MiB, ${waiting.size} without an answer`);
      }
      if (passed >= seconds) {
        clearInterval(timer);
        done(undefined);
      }
    }, 5);
  });
  await Promise.all(waiting);
  console.log(`at the end: ${await memory()} MiB; refreshes not sent, since no grant was free: ${busy}`);
  const { user, system } = process.cpuUsage(busyBefore[1]);
  const each = (/** @type {number} */ milliseconds) =>
    (milliseconds / (took.refresh.length + took.authorize.length)).toFixed(1);
  const ours = each((await processor()) - busyBefore[0]);
  console.log(
    `processor for each request: the app ${ours} ms, what asks it and Clerk ${each((user + system) / 1000)} ms`,
  );
  for (const [kind, times] of Object.entries(took)) {
    times.sort((a, b) => a - b);
    const at = (/** @type {number} */ part) =>
      `${(times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? 0).toFixed(0)} ms`;
    console.log(`${kind}: ${times.length}, p50 ${at(0.5)}, p95 ${at(0.95)}, p99 ${at(0.99)}, most ${at(1)}`);
  }
  for (const [what, count] of statuses) console.log(`${what}: ${count}`);
} finally {
  await Promise.all(apps.map(({ stop }) => stop()));
  await redis.remove();
  await clerk.close();
}

/** The resident memory of each process, in MiB. */
async function memory() {
  const texts = await Promise.all(apps.map(({ pid }) => readFile(`/proc/${pid}/status`, "utf8")));
  return texts.map((text) => Math.round(Number(/^VmRSS:\s+([0-9]+) kB/m.exec(text)?.[1]) / 1024)).join(" and ");
}

/** The milliseconds that all processes have worked; Linux counts in hundredths of a second. */
async function processor() {
  const texts = await Promise.all(apps.map(({ pid }) => readFile(`/proc/${pid}/stat`, "utf8")));
  const ticks = texts.map((text) =>
    text
      .slice(text.lastIndexOf(")") + 2)
      .split(" ")
      .slice(11, 13)
      .map(Number),
  );
  return ticks.flat().reduce((sum, each) => sum + each * 10, 0);
}
