import { methodNotAllowed } from "../../../../lib/cli-auth/respond";
import { revocation } from "../../../../lib/cli-auth/token";

export const POST = (request: Request) => revocation(request);

const refuse = methodNotAllowed("POST");

export { refuse as DELETE, refuse as GET, refuse as HEAD, refuse as PATCH, refuse as PUT };
