/**
 * Snapshots and captures as clients carry them: out part by part, in part by part. Which store they go to or come from is the client's affair,
 * with the client's rights.
 */

import { Readable } from "node:stream";
import { z } from "zod";
import {
  capturePartQuery,
  importParams,
  importPartParams,
  importRequest,
  importState,
  outlineCheck,
  outlineCheckRequest,
  partQuery,
  publishRequest,
} from "../../api/schema.ts";
import { wireName } from "../../api/travel.ts";
import { EngineError } from "../../engine/errors.ts";
import type { App, DaemonContext } from "../context.ts";
import { streamWork } from "../ndjson.ts";
import { captureView, snapshotView } from "../views.ts";

const reference = z.string().max(200);

export function travelRoutes(app: App, context: DaemonContext): void {
  const { engine } = context;
  // Uploads are bytes, whatever type they say they have.
  void app.register(async (plugin) => {
    plugin.removeAllContentTypeParsers();
    plugin.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
    addUpload(plugin as App, context);
  });

  app.post(
    "/v1/captures/:capture/export",
    { schema: { params: z.object({ capture: reference }), body: publishRequest } },
    async (request, reply) =>
      streamWork(reply, async () => {
        const artifact = await engine.archive.exports.capture(request.params.capture, request.body);
        engine.audit.note("capture export", artifact.id, request.body);
        return { artifact };
      }),
  );

  app.post(
    "/v1/captures/:capture/whole",
    { schema: { params: z.object({ capture: reference }) } },
    async (request, reply) =>
      streamWork(reply, async (options) => {
        const whole = await engine.archive.makeWhole(request.params.capture, options);
        return { capture: await captureView(engine, whole) };
      }),
  );

  app.post(
    "/v1/snapshots/:snapshot/export",
    { schema: { params: z.object({ snapshot: reference }) } },
    async (request, reply) =>
      streamWork(reply, async (options) => {
        const artifact = await engine.archive.exports.snapshot(request.params.snapshot, options);
        engine.audit.note("snapshot export", artifact.id);
        return { artifact };
      }),
  );

  app.get(
    "/v1/captures/:capture/parts/:name",
    { schema: { params: z.object({ capture: reference, name: wireName }), querystring: capturePartQuery } },
    async (request, reply) => {
      const { capture, name } = request.params;
      const { from, diskOnly, allow } = request.query;
      const publish = { diskOnly: diskOnly === "1", allow: allow.split(",") };
      const body = await engine.archive.exports.capturePart(capture, name, from, publish);
      return reply.type("application/octet-stream").send(Readable.from(body, { objectMode: false }));
    },
  );

  app.get(
    "/v1/snapshots/:snapshot/parts/:name",
    { schema: { params: z.object({ snapshot: reference, name: wireName }), querystring: partQuery } },
    async (request, reply) => {
      const { snapshot, name } = request.params;
      const body = await engine.archive.exports.snapshotPart(snapshot, name, request.query.from);
      return reply.type("application/octet-stream").send(Readable.from(body, { objectMode: false }));
    },
  );

  app.post(
    "/v1/captures/check",
    { schema: { body: outlineCheckRequest, response: { 200: outlineCheck } } },
    (request) => engine.archive.checkOutline(request.body.capture, request.body.base),
  );

  app.post("/v1/imports", { schema: { body: importRequest, response: { 200: importState } } }, (request) => {
    const { kind, manifest, parts } = request.body;
    return engine.archive.imports.begin(kind, manifest, parts);
  });

  app.post("/v1/imports/:import/commit", { schema: { params: importParams } }, async (request, reply) =>
    streamWork(reply, async (options) => {
      const imported = await engine.archive.commitImport(request.params.import, options);
      return imported.kind === "capture"
        ? { capture: await captureView(engine, imported.capture) }
        : { snapshot: await snapshotView(engine, imported.snapshot, await engine.snapshots.tags()) };
    }),
  );
}

function addUpload(app: App, { engine }: DaemonContext): void {
  app.put(
    "/v1/imports/:import/parts/:name",
    {
      bodyLimit: Number.MAX_SAFE_INTEGER,
      schema: { params: importPartParams, querystring: partQuery },
    },
    async (request, reply) => {
      const { import: key, name } = request.params;
      const body = (request.body as Readable | null | undefined) ?? Readable.from([]);
      try {
        await engine.archive.imports.receive(key, name, request.query.from, body);
      } catch (error) {
        if (request.raw.destroyed && !request.raw.complete)
          throw new EngineError("cancelled", "the client went away during its upload", { cause: error });
        throw error;
      }
      return reply.code(204).send();
    },
  );
}
