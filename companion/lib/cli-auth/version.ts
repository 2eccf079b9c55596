// Which version of these files this is. "clerk-credential-helper companion check" reads it in the metadata.

export const VERSION = "1.1.0";
