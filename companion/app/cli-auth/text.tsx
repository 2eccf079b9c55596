// Text with elements in it.
import { Fragment, type ReactNode } from "react";
import styles from "./page.module.css";

/** A message with elements in the place of the names in braces. */
export function Text({ text, values }: { text: string; values: Record<string, ReactNode> }) {
  return text.split(/\{(\w+)\}/).map((part, n) => {
    const value = n % 2 === 1 ? values[part] : part;
    // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one text never change their order
    return <Fragment key={n}>{value}</Fragment>;
  });
}

/** Text from outside stands in quotes and keeps its direction to itself. */
export function Quoted({ text }: { text: string }) {
  return (
    <span className={styles.quoted}>
      “<bdi>{text}</bdi>”
    </span>
  );
}
