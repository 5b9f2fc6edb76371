/** Links to what listens in a sandbox, for browsers. What they lead to is served elsewhere: daemon/preview. */
import { z } from "zod";
import { preview, previewRequest } from "../../api/schema.ts";
import type { App, DaemonContext } from "../context.ts";

const params = z.object({ sandbox: z.string().max(200) });
const oneParams = params.extend({ port: z.coerce.number().int().min(1).max(65_535) });

export function previewRoutes(app: App, { engine, previews }: DaemonContext): void {
  app.post(
    "/v1/sandboxes/:sandbox/previews",
    { schema: { params, body: previewRequest, response: { 200: preview } } },
    async (request) => {
      const sandbox = engine.sandbox(request.params.sandbox);
      const { port } = request.body;
      const made = await previews.create(sandbox, request.body);
      await engine.sharePreview(sandbox, { port, publicUntil: made.public ? made.expiresAt : null });
      return made;
    },
  );

  app.delete(
    "/v1/sandboxes/:sandbox/previews/:port",
    { schema: { params: oneParams } },
    async (request, reply) => {
      await engine.endPreviews(request.params.sandbox, request.params.port);
      return reply.code(204).send();
    },
  );
}
