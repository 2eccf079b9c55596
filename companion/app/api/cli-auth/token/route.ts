import { methodNotAllowed } from "../../../../lib/cli-auth/respond";
import { token } from "../../../../lib/cli-auth/token";

export const POST = (request: Request) => token(request);

const refuse = methodNotAllowed("POST");

export { refuse as DELETE, refuse as GET, refuse as HEAD, refuse as PATCH, refuse as PUT };
