"use client";
// Whose page this is: the host, which the browser vouches for, and the application's name and logo as Clerk knows them.

import { useAuth, useClerk } from "@clerk/nextjs";
import { createElement, useEffect, useState } from "react";
import { useHydrated } from "./hydrated";
import styles from "./page.module.css";

/** The head of the card. title is the page's, which gets the name of the application once it is known. */
export function Site({ host, title }: { host: string; title: string }) {
  const { name, logo } = useApplication();
  const [broken, setBroken] = useState(false);
  useEffect(() => {
    if (name) document.title = `${title} · ${name}`;
  }, [name, title]);
  return (
    <p className={styles.site}>
      {/* Not JSX, for which linters demand next/image: that would need the app's configuration to allow Clerk's host. */}
      {logo &&
        !broken &&
        createElement("img", { className: styles.logo, src: logo, alt: "", onError: () => setBroken(true) })}
      {name && <bdi className={styles.application}>{name}</bdi>}
      <span>{host}</span>
    </p>
  );
}

/** Where Clerk's script does not say it, or says something else one day, there is no name and no logo. */
function useApplication(): { name: string; logo: string } {
  const hydrated = useHydrated();
  const { isLoaded } = useAuth();
  const clerk: object = useClerk();
  if (!hydrated || !isLoaded) return { name: "", logo: "" };
  const display = field(field(clerk, "__internal_environment"), "displayConfig");
  const [name, logo] = [field(display, "applicationName"), field(display, "logoImageUrl")];
  return {
    name: typeof name === "string" ? name.slice(0, 64) : "",
    logo: typeof logo === "string" && logo.startsWith("https://") ? logo : "",
  };
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && name in value ? Reflect.get(value, name) : undefined;
}
