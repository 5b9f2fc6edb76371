/** State that could not be read: listed, put back, removed. */
import { z } from "zod";
import { quarantineEntry } from "../../api/schema.ts";
import type { App, DaemonContext } from "../context.ts";

const params = z.object({ entry: z.string().max(400) });

export function quarantineRoutes(app: App, { engine }: DaemonContext): void {
  const { quarantine, audit } = engine;

  app.get(
    "/v1/quarantine",
    { schema: { response: { 200: z.object({ entries: z.array(quarantineEntry) }) } } },
    async () => ({ entries: await quarantine.list() }),
  );

  app.post(
    "/v1/quarantine/:entry/restore",
    { schema: { params, response: { 200: quarantineEntry } } },
    async (request) => {
      const entry = await quarantine.restore(request.params.entry);
      audit.note("quarantine restore", entry.id, { from: entry.from });
      return entry;
    },
  );

  app.delete("/v1/quarantine/:entry", { schema: { params } }, async (request, reply) => {
    const entry = await quarantine.remove(request.params.entry);
    audit.note("quarantine rm", entry.id, { from: entry.from });
    return reply.code(204).send();
  });
}
