// The hourly limits: whose address a request has, and when it is refused.

import assert from "node:assert/strict";
import { test } from "node:test";
import { compileLibrary } from "./compile.mjs";

const library = await compileLibrary();
const { addressOf, countAddress, countPerson } = library.load("hourly");
const { OAuthError } = library.load("respond");

/** @import { Settings } from "../../lib/cli-auth/settings" */

/** The settings, as far as they are read here. */
const limits = (/** @type {Settings["hourly"]} */ hourly) => /** @type {Settings} */ ({ hourly });

test("the address is the one that our own proxies saw, whatever the sender says", () => {
  /** @type {[forwarded: string | undefined, proxies: number, address: string | undefined, why: string][]} */
  const rows = [
    ["203.0.113.7", 0, undefined, "the number of proxies is not known"],
    ["203.0.113.7", 1, "203.0.113.7", "one proxy"],
    ["6.6.6.6, 203.0.113.7", 1, "203.0.113.7", "the sender's word stands before it"],
    ["6.6.6.6, 203.0.113.7, 198.51.100.1", 2, "203.0.113.7", "two proxies"],
    ["203.0.113.7", 2, "203.0.113.7", "past the outer one"],
    [undefined, 1, undefined, "nothing"],
    ["unknown", 1, undefined, "no address"],
    ["6.6.6.6,", 1, undefined, "an empty one"],
    [`203.0.113.7${"0".repeat(60)}`, 1, undefined, "a long one"],
    ["::ffff:203.0.113.7", 1, "203.0.113.7", "IPv4 in IPv6"],
    ["2001:DB8:1:2:3:4:5:6", 1, "2001:db8:1:2", "the network of an IPv6 address"],
    ["2001:db8::6", 1, "2001:db8:0:0", "a short form"],
    ["2001:db8:1:2::", 1, "2001:db8:1:2", "another one"],
    ["::1", 1, "0:0:0:0", "the shortest"],
  ];
  for (const [forwarded, proxies, address, why] of rows) {
    const headers = new Headers(forwarded === undefined ? {} : { "x-forwarded-for": forwarded });
    assert.equal(addressOf(headers, proxies), address, why);
  }
});

test("above the limit it is refused until the hour is over; without a store or a limit never", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 7_200_000 + 3_000_000 });
  const counted = new Map();
  /** @type {import("../../lib/cli-auth/stores/interface").Counts} */
  const counts = {
    async count(name, seconds) {
      assert.equal(seconds, 3600);
      counted.set(name, (counted.get(name) ?? 0) + 1);
      return counted.get(name);
    },
  };
  const settings = limits({ person: 3, address: 2, proxies: 1 });
  const headers = new Headers({ "x-forwarded-for": "203.0.113.7" });
  const refused = (/** @type {unknown} */ error) => {
    assert.ok(error instanceof OAuthError);
    const { status, code, headers: sent } = error;
    assert.deepEqual([status, code, sent], [429, "temporarily_unavailable", { "retry-after": "600" }]);
    return true;
  };
  for (let at = 0; at < 3; at++) await countPerson(settings, counts, "user_1");
  await assert.rejects(countPerson(settings, counts, "user_1"), refused);
  await countPerson(settings, counts, "user_2");
  for (let at = 0; at < 2; at++) await countAddress(settings, counts, headers);
  await assert.rejects(countAddress(settings, counts, headers), refused);
  await countAddress(settings, counts, new Headers({ "x-forwarded-for": "203.0.113.8" }));
  t.mock.timers.tick(600_000);
  await countPerson(settings, counts, "user_1");
  await countAddress(settings, counts, headers);
  const free = limits({ person: 0, address: 0, proxies: 1 });
  for (let at = 0; at < 10; at++) {
    await countPerson(free, counts, "user_3");
    await countPerson(settings, undefined, "user_3");
    await countAddress(free, counts, headers);
    await countAddress(limits({ ...settings.hourly, proxies: 0 }), counts, headers);
  }
});
