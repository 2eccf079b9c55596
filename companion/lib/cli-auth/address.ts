// Which addresses a secret or a key may pass to: https, or this machine.

/** The names of this machine in an address. */
export const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];

/** Whether an address is https, or http on this machine. */
export function isHttpsOrLoopback(url: URL): boolean {
  return url.protocol === "https:" || isLoopback(url);
}

/** Whether an address is http on this machine. */
export function isLoopback(url: URL): boolean {
  return url.protocol === "http:" && LOOPBACK.includes(url.hostname);
}
