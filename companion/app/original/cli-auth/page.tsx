import { SignIn } from "@clerk/nextjs";
import { auth } from "@clerk/nextjs/server";
import { SendToken } from "./send-token";

// The page of the original write-up, kept as it was for the tests of the helper's `legacy_page`. Do not copy it. Any
// web page can send a signed-in person here, and the person is not asked: a token that lives for days goes out, in a
// URL, to whatever "port" makes of the address and to whichever program listens there. Nothing proves which program had
// asked.
export default async function Page({ searchParams }: { searchParams: Promise<{ port?: string; state?: string }> }) {
  const { port = "", state } = await searchParams;
  const { isAuthenticated } = await auth();
  if (!isAuthenticated) {
    const query = new URLSearchParams(state === undefined ? { port } : { port, state });
    return <SignIn routing="hash" forceRedirectUrl={`/original/cli-auth?${query}`} />;
  }
  return <SendToken port={port} {...(state === undefined ? {} : { state })} />;
}
