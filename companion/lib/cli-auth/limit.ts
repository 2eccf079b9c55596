// The place for a rate limit of your own, besides the hourly ones of CLI_AUTH_PERSON_PER_HOUR and its like. Codes and
// refresh tokens cannot be guessed, so this is about load, not about safety: each call to the token endpoint costs three
// to Clerk's Backend API.

/** Returns how many seconds a caller must wait; 0 lets it through. Put your own limiter here. */
export type RateLimit = (request: Request, endpoint: "token" | "revoke") => Promise<number>;

export const rateLimit: RateLimit = async () => 0;
