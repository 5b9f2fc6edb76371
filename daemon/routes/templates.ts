import { z } from "zod";
import {
  buildRequest,
  describeRequest,
  pruneRequest,
  template,
  templateName,
  templatePruneReport,
  templateRemoval,
} from "../../api/schema.ts";
import { ANY } from "../../engine/templates/steps.ts";
import type { App, DaemonContext } from "../context.ts";
import { streamWork } from "../ndjson.ts";
import { requestIdOf } from "../requests.ts";
import { snapshotView, templateView } from "../views.ts";

export function templateRoutes(app: App, { engine, requests }: DaemonContext): void {
  app.get(
    "/v1/templates",
    { schema: { response: { 200: z.object({ templates: z.array(template) }) } } },
    async () => {
      const [known, tags] = await Promise.all([engine.templates(), engine.snapshots.tags()]);
      return { templates: await Promise.all(known.map((one) => templateView(engine, one, tags))) };
    },
  );

  app.get(
    "/v1/templates/:template/recipe",
    {
      schema: {
        params: z.object({ template: templateName }),
        response: { 200: z.object({ recipe: z.string() }) },
      },
    },
    async (request) => ({ recipe: await engine.sources.recipeText(request.params.template) }),
  );

  app.post(
    "/v1/templates/describe",
    { schema: { body: describeRequest, response: { 200: z.object({ template }) } } },
    async (request) => {
      const [known, tags] = await Promise.all([engine.template(request.body), engine.snapshots.tags()]);
      return { template: await templateView(engine, known, tags) };
    },
  );

  app.post(
    "/v1/templates/prune",
    { schema: { body: pruneRequest, response: { 200: templatePruneReport } } },
    async (request) => {
      const { dryRun } = request.body;
      return { dryRun, steps: await engine.archive.steps.prune({ dryRun, of: ANY }) };
    },
  );

  app.delete(
    "/v1/templates/:template",
    { schema: { params: z.object({ template: templateName }), response: { 200: templateRemoval } } },
    async (request) => engine.archive.removeTemplate(request.params.template),
  );

  app.post("/v1/templates/build", { schema: { body: buildRequest } }, async (request, reply) => {
    const { force, refresh, ...source } = request.body;
    // A mistake in the recipe is an answer of its own, before any progress.
    await engine.sources.recipe(source);
    const id = requestIdOf(request.headers);
    await streamWork(reply, (options) =>
      requests.run(id, options.signal, async (signal) => {
        const built = await engine.build(source, { ...options, signal, force, refresh, request: id });
        return { snapshot: await snapshotView(engine, built, await engine.snapshots.tags()) };
      }),
    );
  });
}
