import type { NextConfig } from "next";

// The folder is said outright, so that a lock file further up is not taken for the root of this app.
const config: NextConfig = {
  turbopack: { root: import.meta.dirname },
  poweredByHeader: false,
};

export default config;
