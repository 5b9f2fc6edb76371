import { z } from "zod";
import { createRequest, forkRequest, freezeRequest, machineStats, sandbox } from "../api/schema.ts";
import type { App, DaemonContext } from "../context.ts";
import { streamWork } from "../ndjson.ts";
import { sandboxView, snapshotView } from "../views.ts";

const params = z.object({ sandbox: z.string().max(200) });

export function sandboxRoutes(app: App, { engine }: DaemonContext): void {
  app.post("/v1/sandboxes", { schema: { body: createRequest } }, async (request, reply) => {
    await streamWork(reply, async (options) => ({
      sandbox: sandboxView(await engine.create({ ...request.body, ...options, leased: false })),
    }));
  });

  app.get(
    "/v1/sandboxes",
    { schema: { response: { 200: z.object({ sandboxes: z.array(sandbox) }) } } },
    async () => ({
      sandboxes: engine.sandboxes.map(sandboxView),
    }),
  );

  app.get("/v1/sandboxes/:sandbox", { schema: { params, response: { 200: sandbox } } }, async (request) =>
    sandboxView(engine.sandbox(request.params.sandbox)),
  );

  app.delete("/v1/sandboxes/:sandbox", { schema: { params } }, async (request, reply) => {
    await engine.remove(request.params.sandbox);
    return reply.code(204).send();
  });

  app.post(
    "/v1/sandboxes/:sandbox/pause",
    { schema: { params, response: { 200: sandbox } } },
    async (request) => {
      const found = engine.sandbox(request.params.sandbox);
      await found.pause();
      return sandboxView(found);
    },
  );

  app.post(
    "/v1/sandboxes/:sandbox/resume",
    { schema: { params, response: { 200: sandbox } } },
    async (request) => {
      const found = engine.sandbox(request.params.sandbox);
      await found.resume();
      return sandboxView(found);
    },
  );

  app.post(
    "/v1/sandboxes/:sandbox/freeze",
    { schema: { params, body: freezeRequest } },
    async (request, reply) => {
      const { id } = engine.sandbox(request.params.sandbox);
      await streamWork(reply, async (options) => {
        const frozen = await engine.freeze(id, request.body.tag, options);
        const { pauseMs, converged } = frozen;
        const snapshot = await snapshotView(engine, frozen.snapshot, await engine.snapshots.tags());
        return { snapshot, pauseMs, converged };
      });
    },
  );

  app.post(
    "/v1/sandboxes/:sandbox/fork",
    { schema: { params, body: forkRequest } },
    async (request, reply) => {
      const { id } = engine.sandbox(request.params.sandbox);
      await streamWork(reply, async (options) => {
        const { sandboxes, method, pauseMs } = await engine.fork(id, { ...request.body, ...options });
        return { sandboxes: sandboxes.map(sandboxView), method, pauseMs };
      });
    },
  );

  app.get(
    "/v1/sandboxes/:sandbox/stats",
    { schema: { params, response: { 200: machineStats } } },
    (request) => engine.sandbox(request.params.sandbox).stats(),
  );
}
