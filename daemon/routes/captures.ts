import { pipeline } from "node:stream/promises";
import type { FastifyReply } from "fastify";
import { z } from "zod";
import type { CaseFile } from "../../api/case-file.ts";
import {
  attributesFlag,
  capture,
  captureCheck,
  captureList,
  captureQuery,
  captureVerifyReport,
  diskListing,
  fileEntry,
  fileLevel,
  pinRequest,
  pruneReport,
  pruneRequest,
  rerunRequest,
  retentionRequest,
  treeFormat,
} from "../../api/schema.ts";
import { asEngineError } from "../../engine/as-engine-error.ts";
import { bytesFor } from "../../engine/captures/check.ts";
import { EngineError } from "../../engine/errors.ts";
import { checkThere } from "../../engine/state/removed.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import type { App, DaemonContext } from "../context.ts";
import { goneSignal } from "../gone.ts";
import { streamWork } from "../ndjson.ts";
import { pageOf } from "../page.ts";
import { requestIdOf } from "../requests.ts";
import { TAR_TYPE, tarOf, wantsTar } from "../tar.ts";
import { captureView } from "../views.ts";

const params = z.object({ capture: z.string().max(200) });
const path = z.string().min(1).max(4096).startsWith("/", "an absolute path of the captured machine");
const place = z.object({ path, level: fileLevel.optional() });
/** Only a machine can tell. */
const machinePlace = z.object({ path });

export function captureRoutes(app: App, { engine, requests }: DaemonContext): void {
  const { store } = engine.captures;
  const view = async (reference: string) => captureView(engine, await store.get(reference));

  app.get(
    "/v1/captures",
    {
      schema: { querystring: captureQuery, response: { 200: captureList } },
    },
    async (request) => {
      const lastEvent = engine.events.lastId;
      const all = await store.list();
      const chosen = all.filter(({ file }) => fits(file, request.query));
      const { items, next } = pageOf(chosen, request.query, {
        idOf: ({ id }) => id,
        createdAt: ({ file }) => file.createdAt,
        newestFirst: true,
      });
      const captures = await Promise.all(items.map((one) => captureView(engine, one)));
      return { captures, unreadable: await store.unreadable(), lastEvent, next };
    },
  );

  app.get("/v1/captures/:capture", { schema: { params, response: { 200: capture } } }, (request) =>
    view(request.params.capture),
  );

  app.get(
    "/v1/captures/:capture/check",
    { schema: { params, response: { 200: captureCheck } } },
    async (request) => {
      const { capture: found, check } = await engine.archive.checkCapture(request.params.capture);
      const levels = check.levels.map((one) => ({ ...one, bytes: bytesFor(one.level, found.manifest) }));
      return { capture: found.id, levels, best: check.best };
    },
  );

  app.post(
    "/v1/captures/:capture/verify",
    { schema: { params, response: { 200: captureVerifyReport } } },
    async (request) => {
      const found = await store.get(request.params.capture);
      const parts = await store.verify(found);
      const sound = parts.every(({ ok }) => ok);
      if (sound) await engine.captures.verify(found, new AbortController().signal);
      const { verified } = await store.notes(found.id);
      checkThere({ kind: "capture", ...found });
      const goesOn = !found.manifest.resumes || (verified?.ok ?? false);
      return { capture: found.id, ok: sound && goesOn, parts, verified };
    },
  );

  app.get("/v1/captures/:capture/core", { schema: { params } }, async (request, reply) => {
    const found = await store.get(request.params.capture);
    await sendBytes(reply, (take, signal) => engine.captures.readCore(found, { take, signal }));
  });

  app.get(
    "/v1/captures/:capture/list",
    { schema: { params, querystring: place, response: { 200: diskListing } } },
    async (request, reply) => {
      const found = await store.get(request.params.capture);
      const { path: at, level } = request.query;
      const signal = goneSignal(reply);
      return engine.captures.files.use(found, { level, signal }, async (source, answer) => ({
        ...(await source.look(at, signal)),
        ...answer,
      }));
    },
  );

  app.get(
    "/v1/captures/:capture/files",
    { schema: { params, querystring: place } },
    async (request, reply) => {
      const found = await store.get(request.params.capture);
      const { path: at, level } = request.query;
      await sendBytes(reply, (take, signal) =>
        engine.captures.files.use(found, { level, signal }, async (source) =>
          take(await source.read(at, signal)),
        ),
      );
    },
  );

  app.get(
    "/v1/captures/:capture/stat",
    { schema: { params, querystring: machinePlace, response: { 200: fileEntry } } },
    async (request, reply) => {
      const found = await store.get(request.params.capture);
      const options = { level: "memory" as const, signal: goneSignal(reply) };
      return engine.captures.files.use(found, options, ({ agent }) =>
        needAgent(agent).stat(request.query.path),
      );
    },
  );

  app.get(
    "/v1/captures/:capture/tree",
    { schema: { params, querystring: machinePlace.extend({ attributes: attributesFlag, as: treeFormat }) } },
    async (request, reply) => {
      const found = await store.get(request.params.capture);
      const { path: from, attributes, as } = request.query;
      const asTar = wantsTar(request, as);
      const work = ({ agent }: { agent: Agent | null }) =>
        asTar ? tarOf(needAgent(agent), from) : needAgent(agent).treeOut(from, attributes);
      await sendBytes(
        reply,
        (take, signal) =>
          engine.captures.files.use(found, { level: "memory", signal }, async (source) =>
            take(await work(source)),
          ),
        asTar ? TAR_TYPE : undefined,
      );
    },
  );

  app.post(
    "/v1/captures/:capture/rerun",
    { schema: { params, body: rerunRequest } },
    async (request, reply) => {
      const { id } = await store.get(request.params.capture);
      const asked = requestIdOf(request.headers);
      await streamWork(reply, ({ onProgress, say, signal }) =>
        requests.run(asked, signal, async (either) => ({
          rerun: await engine.rerun(id, {
            ...request.body,
            ...{ onProgress, signal: either, request: asked },
            onRun: (run) => say({ type: "run", run }),
          }),
        })),
      );
    },
  );

  app.put(
    "/v1/captures/:capture/pin",
    { schema: { params, body: pinRequest, response: { 200: capture } } },
    async (request) => {
      const { id } = await store.get(request.params.capture);
      await store.note(id, { pinned: request.body.pinned });
      engine.audit.note(request.body.pinned ? "capture pin" : "capture unpin", id);
      return view(id);
    },
  );

  app.put(
    "/v1/captures/:capture/retention",
    { schema: { params, body: retentionRequest, response: { 200: capture } } },
    async (request) => {
      const { id } = await store.get(request.params.capture);
      const { maxAgeMs } = request.body;
      await store.note(id, { maxAgeMs });
      engine.audit.note("capture retention", id, { maxAgeMs });
      return view(id);
    },
  );

  app.delete("/v1/captures/:capture", { schema: { params } }, async (request, reply) => {
    await engine.archive.removeCapture(request.params.capture);
    return reply.code(204).send();
  });

  app.post(
    "/v1/prune",
    { schema: { body: pruneRequest, response: { 200: pruneReport } } },
    async (request) => {
      const { dryRun } = request.body;
      return { dryRun, ...(await engine.archive.prune({ dryRun })) };
    },
  );

  app.post(
    "/v1/sandboxes/:sandbox/captures",
    { schema: { params: z.object({ sandbox: z.string().max(200) }), response: { 200: capture } } },
    async (request, reply) => {
      const id = requestIdOf(request.headers);
      const made = await requests.run(id, goneSignal(reply), (signal) =>
        engine.capture(request.params.sandbox, { request: id, signal }),
      );
      return captureView(engine, made);
    },
  );
}

function needAgent(agent: Agent | null): Agent {
  if (agent) return agent;
  throw new EngineError("internal", "a captured machine without an agent");
}

/** Answers with bytes that are there only after some work: until then it can still fail with a status. */
async function sendBytes(
  reply: FastifyReply,
  work: (take: (bytes: AsyncIterable<Buffer>) => Promise<void>, signal: AbortSignal) => Promise<void>,
  type = "application/octet-stream",
): Promise<void> {
  const signal = goneSignal(reply);
  const started = Promise.withResolvers<void>();
  const take = async (bytes: AsyncIterable<Buffer>): Promise<void> => {
    reply.hijack();
    reply.raw.writeHead(200, { "content-type": type });
    started.resolve();
    await pipeline(bytes, reply.raw, { signal });
  };
  work(take, signal).catch((error: unknown) => {
    started.reject(asEngineError(error));
    if (reply.raw.headersSent) reply.raw.destroy();
  });
  await started.promise;
}

function fits(file: CaseFile, asked: z.output<typeof captureQuery>): boolean {
  const { trigger, repository, ref, pr, fingerprint, withinMs } = asked;
  return (
    (trigger === undefined || file.trigger === trigger) &&
    (repository === undefined || file.ci?.repository === repository) &&
    (ref === undefined || file.ci?.ref === ref) &&
    (pr === undefined || file.ci?.pr === pr) &&
    (fingerprint === undefined || file.fingerprint === fingerprint) &&
    (withinMs === undefined || Date.now() - Date.parse(file.createdAt) <= withinMs)
  );
}
