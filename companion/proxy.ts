import { clerkMiddleware } from "@clerk/nextjs/server";
import { withCliAuth } from "./lib/cli-auth/proxy";

export default withCliAuth(clerkMiddleware());

export const config = {
  matcher: [
    // everything but Next's own files and static ones
    "/((?!_next|[^?]*\\.(?:html?|css|js(?!on)|jpe?g|webp|png|gif|svg|ttf|woff2?|ico|csv|docx?|xlsx?|zip|webmanifest)).*)",
    "/(api|trpc)(.*)",
  ],
};
