import { z } from "zod";
import {
  pageQuery,
  snapshot,
  snapshotList,
  snapshotPackages,
  tagRequest,
  verifyReport,
} from "../../api/schema.ts";
import type { App, DaemonContext } from "../context.ts";
import { pageOf } from "../page.ts";
import { snapshotView } from "../views.ts";

const params = z.object({ snapshot: z.string().max(200) });

export function snapshotRoutes(app: App, { engine }: DaemonContext): void {
  const view = async (reference: string) =>
    snapshotView(engine, await engine.snapshots.get(reference), await engine.snapshots.tags());

  app.get(
    "/v1/snapshots",
    { schema: { querystring: pageQuery, response: { 200: snapshotList } } },
    async (request) => {
      const lastEvent = engine.events.lastId;
      const [all, tags] = await Promise.all([engine.snapshots.list(), engine.snapshots.tags()]);
      const { items, next } = pageOf(all, request.query, {
        idOf: ({ id }) => id,
        createdAt: ({ manifest }) => manifest.createdAt,
      });
      const snapshots = await Promise.all(items.map((one) => snapshotView(engine, one, tags)));
      return { snapshots, lastEvent, next };
    },
  );

  app.get("/v1/snapshots/:snapshot", { schema: { params, response: { 200: snapshot } } }, (request) =>
    view(request.params.snapshot),
  );

  app.get(
    "/v1/snapshots/:snapshot/packages",
    { schema: { params, response: { 200: snapshotPackages } } },
    async (request) => {
      const { dir } = await engine.snapshots.get(request.params.snapshot);
      const { summary = null, packages = [] } = (await engine.packages.judge(dir)) ?? {};
      return {
        summary,
        packages: packages.map(([name, version, architecture, newer]) => ({
          ...{ name, version, architecture, newer },
        })),
      };
    },
  );

  app.post(
    "/v1/snapshots/:snapshot/tags",
    { schema: { params, body: tagRequest, response: { 200: snapshot } } },
    async (request) => {
      const found = await engine.snapshots.get(request.params.snapshot);
      await engine.snapshots.tag(found.id, request.body.tag);
      engine.audit.note("snapshot tag", request.body.tag, { id: found.id });
      return view(found.id);
    },
  );

  app.post(
    "/v1/snapshots/:snapshot/verify",
    { schema: { params, response: { 200: verifyReport } } },
    async (request) => {
      const { snapshot: found, parts } = await engine.archive.verify(
        request.params.snapshot,
        new AbortController().signal,
      );
      return { snapshot: found.id, ok: parts.every(({ ok }) => ok), parts };
    },
  );

  app.delete("/v1/snapshots/:snapshot", { schema: { params } }, async (request, reply) => {
    await engine.archive.removeSnapshot(request.params.snapshot);
    return reply.code(204).send();
  });
}
