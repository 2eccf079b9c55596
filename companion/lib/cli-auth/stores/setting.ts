// The value of CLI_AUTH_STORE, taken apart.

import { isHttpsOrLoopback, LOOPBACK } from "../address";

/** A database server. tls is undefined for a connection in the clear; ca is the one authority that is trusted then. */
export type Server = {
  host: string;
  port: number;
  user: string;
  password: string;
  database: string;
  tls: { ca: string | undefined } | undefined;
};

export type StoreSetting =
  | { kind: "none" }
  | { kind: "memory" }
  | { kind: "rest"; url: string; token: string }
  | { kind: "redis"; server: Server }
  | { kind: "postgres"; server: Server; channelBinding: boolean };

/** Reads the setting; undefined if it has none of the forms. ca is PEM text, for rediss and postgres. */
export function parseStore(value: string, token: string, ca: string | undefined): StoreSetting | undefined {
  if (value === "") return { kind: "none" };
  if (value === "memory") return { kind: "memory" };
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (!url || url.hash || !url.hostname) return undefined;
  switch (url.protocol) {
    case "redis:":
    case "rediss:":
      return parseRedis(url, ca);
    case "postgres:":
    case "postgresql:":
      return parsePostgres(url, ca);
  }
  if (!isHttpsOrLoopback(url) || url.username || url.password || url.search) return undefined;
  return { kind: "rest", url: url.href, token };
}

// redis://[[user]:password@]host[:port][/number]
function parseRedis(url: URL, ca: string | undefined): StoreSetting | undefined {
  const tls = url.protocol === "rediss:" ? { ca } : undefined;
  const server = parseServer(url, 6379, tls);
  if (!server || url.search || !/^[0-9]{0,5}$/.test(server.database)) return undefined;
  return { kind: "redis", server };
}

// postgres://user[:password]@host[:port]/database[?sslmode=...&channel_binding=...]. Unlike with libpq every mode but
// disable verifies the certificate and its name: one that does not is no protection. Without a mode only a server on this
// machine is talked to in the clear.
function parsePostgres(url: URL, ca: string | undefined): StoreSetting | undefined {
  const names = [...url.searchParams.keys()];
  if (names.some((name) => !["sslmode", "channel_binding"].includes(name))) return undefined;
  if (new Set(names).size < names.length) return undefined;
  const mode = url.searchParams.get("sslmode") ?? (LOOPBACK.includes(url.hostname) ? "disable" : "verify-full");
  const binding = url.searchParams.get("channel_binding") ?? "prefer";
  if (!["disable", "require", "verify-ca", "verify-full"].includes(mode)) return undefined;
  if (!["disable", "prefer", "require"].includes(binding)) return undefined;
  const server = parseServer(url, 5432, mode === "disable" ? undefined : { ca });
  if (!server?.user || !server.database) return undefined;
  return { kind: "postgres", server, channelBinding: binding === "require" };
}

function parseServer(url: URL, port: number, tls: Server["tls"]): Server | undefined {
  try {
    return {
      host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
      port: url.port === "" ? port : Number(url.port),
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
      database: decodeURIComponent(url.pathname.slice(1)),
      tls,
    };
  } catch {
    return undefined; // a percent sign that stands for itself
  }
}
