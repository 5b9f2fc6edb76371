import { z } from "zod";
import { buildRequest, template } from "../../api/schema.ts";
import type { App, DaemonContext } from "../context.ts";
import { streamWork } from "../ndjson.ts";
import { requestIdOf } from "../requests.ts";
import { snapshotView, templateView } from "../views.ts";

export function templateRoutes(app: App, { engine, requests }: DaemonContext): void {
  app.get(
    "/v1/templates",
    { schema: { response: { 200: z.object({ templates: z.array(template) }) } } },
    async () => {
      const recipes = await engine.recipes();
      return { templates: await Promise.all(recipes.map((recipe) => templateView(engine, recipe))) };
    },
  );

  app.post("/v1/templates/build", { schema: { body: buildRequest } }, async (request, reply) => {
    const { force, ...source } = request.body;
    // A mistake in the recipe is an answer of its own, before any progress.
    await engine.sources.recipe(source);
    const id = requestIdOf(request.headers);
    await streamWork(reply, (options) =>
      requests.run(id, options.signal, async (signal) => {
        const built = await engine.build(source, { ...options, signal, force, request: id });
        return { snapshot: await snapshotView(engine, built, await engine.snapshots.tags()) };
      }),
    );
  });
}
