import { z } from "zod";
import { cacheList, cacheSaved } from "../../api/schema.ts";
import type { App, DaemonContext } from "../context.ts";

const params = z.object({ cache: z.string().max(64) });
const sandboxParams = z.object({ sandbox: z.string().max(200) });

export function cacheRoutes(app: App, { engine }: DaemonContext): void {
  app.get("/v1/caches", { schema: { response: { 200: cacheList } } }, async () => ({
    caches: await engine.caches.list(),
  }));

  app.delete("/v1/caches/:cache", { schema: { params } }, async (request, reply) => {
    await engine.caches.remove(request.params.cache);
    engine.audit.note("cache rm", request.params.cache);
    return reply.code(204).send();
  });

  // Asked again, it is there already.
  app.post(
    "/v1/sandboxes/:sandbox/cache",
    { schema: { params: sandboxParams, response: { 200: cacheSaved } } },
    async (request) => engine.saveCache(request.params.sandbox),
  );
}
