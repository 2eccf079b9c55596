import { signOutMachines } from "../../../../lib/cli-auth/machines";
import { methodNotAllowed } from "../../../../lib/cli-auth/respond";

export const POST = (request: Request) => signOutMachines(request);

const refuse = methodNotAllowed("POST");

export { refuse as DELETE, refuse as GET, refuse as HEAD, refuse as PATCH, refuse as PUT };
