// The root layout of the companion page, for an app that has none above it: all its own are below [locale], for
// instance.

import type { ReactNode } from "react";

export default function Layout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  );
}
