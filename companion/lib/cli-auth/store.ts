// Which store stands behind the page. A store of your own, such as a table of your database with a unique key, takes its
// place here: openStore has to return two functions. Where openGrants or openCounts returns undefined there is no page of
// machines, or no hourly limit.

import type { Settings } from "./settings";
import type { Counts, Grants, Store } from "./stores/interface";
import { memoryStore } from "./stores/memory";
import { postgresStore } from "./stores/postgres";
import { redisStore } from "./stores/redis";
import { restStore } from "./stores/rest";

/** The store that the settings name; undefined without one. */
export function openStore(settings: Settings): Store | undefined {
  return open(settings);
}

/** The same store as the list of each person's grants; undefined where none is kept. */
export function openGrants(settings: Settings): Grants | undefined {
  return open(settings);
}

/** The same store as the counters of the hourly limits; undefined where nothing is counted. */
export function openCounts(settings: Settings): Counts | undefined {
  return open(settings);
}

function open({ store }: Settings): (Store & Grants & Counts) | undefined {
  switch (store.kind) {
    case "none":
      return undefined;
    case "memory":
      return memoryStore();
    case "rest":
      return restStore(store);
    case "redis":
      return redisStore(store);
    case "postgres":
      return postgresStore(store);
  }
}
