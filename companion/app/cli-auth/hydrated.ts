"use client";
import { useSyncExternalStore } from "react";

/**
 * False while React takes over the server's page, then true. Clerk's script may be there before or after that moment, so
 * what depends on it must not be asked in the first rendering: it would differ from the server's.
 */
export function useHydrated(): boolean {
  return useSyncExternalStore(never, yes, no);
}

const never = () => () => {};
const yes = () => true;
const no = () => false;
