import { auth } from "@clerk/nextjs/server";

export async function POST() {
  const { isAuthenticated, getToken } = await auth();
  if (!isAuthenticated) return Response.json({ error: "signed out" }, { status: 401 });
  const token = await getToken({ template: "cli_session_token" });
  return Response.json({ token });
}
