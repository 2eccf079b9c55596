import { approve } from "../../../../lib/cli-auth/approve";
import { methodNotAllowed } from "../../../../lib/cli-auth/respond";

export const POST = (request: Request) => approve(request);

const refuse = methodNotAllowed("POST");

export { refuse as DELETE, refuse as GET, refuse as HEAD, refuse as PATCH, refuse as PUT };
