/** Tokens of the listener: made, listed, revoked. */
import { z } from "zod";
import { newToken, reference, token, tokenList, tokenRequest } from "../../api/schema.ts";
import type { App, DaemonContext } from "../context.ts";

const params = z.object({ token: reference });

export function tokenRoutes(app: App, { engine: { audit }, tokens }: DaemonContext): void {
  app.get("/v1/tokens", { schema: { response: { 200: tokenList } } }, async () => ({
    tokens: tokens.list(),
  }));

  app.post(
    "/v1/tokens",
    { schema: { body: tokenRequest, response: { 201: newToken } } },
    async (request, reply) => {
      const [made, secret] = await tokens.create(request.body);
      audit.note("token create", made.name, { id: made.id, rights: made.rights, expiresAt: made.expiresAt });
      return reply.code(201).header("cache-control", "no-store").send({ token: made, secret });
    },
  );

  app.delete("/v1/tokens/:token", { schema: { params, response: { 200: token } } }, async (request) => {
    const gone = await tokens.revoke(request.params.token, request.raw.socket);
    audit.note("token rm", gone.name, { id: gone.id });
    return gone;
  });
}
