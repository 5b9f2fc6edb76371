import type { FastifyReply } from "fastify";
import { z } from "zod";
import {
  createRequest,
  extendRequest,
  forkRequest,
  freezeRequest,
  guestReport,
  labelSelector,
  machineStats,
  pageQuery,
  patchRequest,
  sandbox,
  sandboxList,
  waitQuery,
  waitResult,
} from "../../api/schema.ts";
import type { Engine } from "../../engine/engine.ts";
import { EngineError } from "../../engine/errors.ts";
import { labelsMatch } from "../../engine/sandboxes/labels.ts";
import type { Sandbox } from "../../engine/sandboxes/sandbox.ts";
import { waitFor } from "../../engine/sandboxes/wait.ts";
import type { App, DaemonContext } from "../context.ts";
import { streamWork } from "../ndjson.ts";
import { pageOf } from "../page.ts";
import { requestIdOf } from "../requests.ts";
import { jsonArray, sandboxJson } from "../sandbox-json.ts";
import { execView, sandboxView, snapshotView } from "../views.ts";

const params = z.object({ sandbox: z.string().max(200) });
const listQuery = pageQuery.extend({
  label: z.union([labelSelector, z.array(labelSelector).max(20)]).optional(),
});

/**
 * Notes that a client is told of what it made, before it is. One that goes away before it has heard may ask again; what nobody asks for is
 * removed.
 */
async function handOver(engine: Engine, { raw }: FastifyReply, made: readonly Sandbox[]): Promise<void> {
  const takeBack = (): void => {
    for (const sandbox of made) engine.unanswered(sandbox).catch(() => {});
  };
  const takeBackUntold = (): void => {
    if (!raw.writableFinished) takeBack();
  };
  try {
    await Promise.all(made.map((sandbox) => engine.answered(sandbox)));
  } catch (error) {
    takeBack();
    throw error;
  }
  if (raw.destroyed) takeBackUntold();
  else raw.once("close", takeBackUntold);
}

export function sandboxRoutes(app: App, { engine, requests }: DaemonContext): void {
  const answer = { schema: { params, response: { 200: sandbox } } };

  app.post("/v1/sandboxes", { schema: { body: createRequest } }, async (request, reply) => {
    const id = requestIdOf(request.headers);
    await streamWork(reply, (options) =>
      requests.run(id, options.signal, async (signal) => {
        const [known] = id === undefined ? [] : engine.madeBy(id);
        const create = { ...request.body, ...options, signal, leased: false, request: id };
        const made = known ?? (await engine.create(create));
        await handOver(engine, reply, [made]);
        return { sandbox: sandboxView(engine, made) };
      }),
    );
  });

  app.get(
    "/v1/sandboxes",
    { schema: { querystring: listQuery, response: { 200: sandboxList } } },
    async (request, reply) => {
      const selectors = [request.query.label ?? []].flat();
      // Before the list is read: an event told twice does no harm, one that is missed does.
      const lastEvent = engine.events.lastId;
      const chosen = engine.sandboxes.filter(({ record }) => labelsMatch(record.labels, selectors));
      const page = pageOf(chosen, request.query, {
        idOf: ({ id }) => id,
        createdAt: ({ record }) => record.createdAt,
      });
      const sandboxes = page.items.map((one) => sandboxJson(one, sandboxView(engine, one)));
      const end = `,"lastEvent":${lastEvent},"next":${JSON.stringify(page.next)}}`;
      // Already JSON: checking a thousand of them against the schema once more takes longer than all the rest.
      return reply
        .type("application/json; charset=utf-8")
        .send(jsonArray(sandboxes, { before: '{"sandboxes":', after: end }) as never);
    },
  );

  app.get("/v1/sandboxes/:sandbox", answer, async (request) =>
    sandboxView(engine, engine.sandbox(request.params.sandbox)),
  );

  app.patch(
    "/v1/sandboxes/:sandbox",
    { schema: { params, body: patchRequest, response: { 200: sandbox } } },
    async (request) => {
      const { name, labels, ...timers } = request.body;
      const { sandbox: reference } = request.params;
      const found = await requests.once(request, async (id) => {
        const named =
          name === undefined
            ? engine.sandbox(reference)
            : await engine.rename(reference, { name, request: id });
        if (Object.keys(timers).length > 0) await engine.retime(named.id, timers);
        return labels === undefined ? named : engine.label(named.id, labels);
      });
      return sandboxView(engine, found);
    },
  );

  app.delete("/v1/sandboxes/:sandbox", { schema: { params } }, async (request, reply) => {
    await engine.remove(request.params.sandbox);
    return reply.code(204).send();
  });

  app.get(
    "/v1/sandboxes/:sandbox/processes",
    { schema: { params, response: { 200: guestReport } } },
    async (request) => engine.sandbox(request.params.sandbox).inspectGuest(),
  );

  for (const verb of ["pause", "resume"] as const)
    app.post(`/v1/sandboxes/:sandbox/${verb}`, answer, async (request) => {
      const { sandbox: reference } = request.params;
      const found = await requests.once(request, (id) => engine.pauseOrResume(verb, reference, id));
      return sandboxView(engine, found);
    });

  app.post("/v1/sandboxes/:sandbox/stop", answer, async (request) => {
    const { sandbox: reference } = request.params;
    return sandboxView(engine, await requests.once(request, () => engine.stop(reference)));
  });

  app.post(
    "/v1/sandboxes/:sandbox/extend",
    { schema: { params, body: extendRequest, response: { 200: sandbox } } },
    async (request) => {
      const { sandbox: reference } = request.params;
      const { byMs } = request.body;
      const found = await requests.once(request, (id) => engine.extend(reference, { byMs, request: id }));
      return sandboxView(engine, found);
    },
  );

  app.get(
    "/v1/sandboxes/:sandbox/wait",
    { schema: { params, querystring: waitQuery, response: { 200: waitResult } } },
    async (request, reply) => {
      const found = engine.sandbox(request.params.sandbox);
      const { timeoutMs, ...what } = request.query;
      if ((what.for === "exec") !== (what.exec !== undefined))
        throw new EngineError("usage", "for=exec needs exec=ID, and exec=ID needs for=exec");
      const gone = new AbortController();
      reply.raw.once("close", () => gone.abort(new EngineError("cancelled", "the client went away")));
      const late = new EngineError("timeout", `sandbox ${found.record.name} is still ${found.record.state}`);
      const timer =
        timeoutMs === undefined
          ? undefined
          : setTimeout(() => gone.abort(late), Math.min(timeoutMs, 0x7fff_ffff));
      try {
        await waitFor(found, what, gone.signal);
      } catch (error) {
        throw gone.signal.aborted ? gone.signal.reason : error;
      } finally {
        clearTimeout(timer);
      }
      const { state, reason } = found.record;
      const exec = what.exec === undefined ? undefined : found.execs.get(what.exec);
      return { state, reason, exec: exec ? execView(exec) : null };
    },
  );

  app.post(
    "/v1/sandboxes/:sandbox/freeze",
    { schema: { params, body: freezeRequest } },
    async (request, reply) => {
      const sandbox = engine.sandbox(request.params.sandbox).id;
      const id = requestIdOf(request.headers);
      await streamWork(reply, (options) =>
        requests.run(id, options.signal, async (signal) => {
          const { tag } = request.body;
          const frozen = await engine.freeze(sandbox, tag, { ...options, signal, request: id });
          const { pauseMs, converged } = frozen;
          const snapshot = await snapshotView(engine, frozen.snapshot, await engine.snapshots.tags());
          return { snapshot, pauseMs, converged };
        }),
      );
    },
  );

  app.post(
    "/v1/sandboxes/:sandbox/fork",
    { schema: { params, body: forkRequest } },
    async (request, reply) => {
      const parent = engine.sandbox(request.params.sandbox).id;
      const id = requestIdOf(request.headers);
      await streamWork(reply, (options) =>
        requests.run(id, options.signal, async (signal) => {
          const known = id === undefined ? [] : engine.madeBy(id);
          if (known.length === request.body.count) {
            await handOver(engine, reply, known);
            return { sandboxes: known.map((child) => sandboxView(engine, child)) };
          }
          // The daemon was killed before all of them were there.
          await Promise.all(known.map((child) => engine.removeById(child.id)));
          const forked = await engine.fork(parent, { ...request.body, ...options, signal, request: id });
          const { sandboxes, method, pauseMs } = forked;
          await handOver(engine, reply, sandboxes);
          return { sandboxes: sandboxes.map((child) => sandboxView(engine, child)), method, pauseMs };
        }),
      );
    },
  );

  app.get(
    "/v1/sandboxes/:sandbox/stats",
    { schema: { params, response: { 200: machineStats } } },
    async (request) => {
      const found = engine.sandbox(request.params.sandbox);
      await found.adopt();
      return found.stats();
    },
  );
}
