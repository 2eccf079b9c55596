import { connection } from "next/server";
import { company } from "../../../lib/cli-auth/metadata";
import { methodNotAllowed } from "../../../lib/cli-auth/respond";

export async function GET() {
  await connection(); // the settings are those of the running app, not of the build
  return company();
}

const refuse = methodNotAllowed("GET, HEAD");

export { refuse as DELETE, refuse as PATCH, refuse as POST, refuse as PUT };
