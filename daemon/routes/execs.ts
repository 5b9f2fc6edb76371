import { z } from "zod";
import {
  exec,
  execList,
  execRequest,
  execResult,
  pageQuery,
  requestId,
  runOnceRequest,
  signalRequest,
} from "../../api/schema.ts";
import type { Engine } from "../../engine/engine.ts";
import { EngineError } from "../../engine/errors.ts";
import type { Exec } from "../../engine/execs/exec.ts";
import { shownArgv } from "../../engine/secrets/shown-argv.ts";
import type { App, DaemonContext } from "../context.ts";
import { goneSignal } from "../gone.ts";
import { pageOf } from "../page.ts";
import { readToEnd } from "../run-once.ts";
import { execView } from "../views.ts";

const sandboxParams = z.object({ sandbox: z.string().max(200) });
const params = sandboxParams.extend({ exec: z.string().max(64) });

/** Throws `not-found`. */
export function findExec(engine: Engine, sandbox: string, id: string): Exec {
  const found = engine.sandbox(sandbox).execs.get(id);
  if (!found) throw new EngineError("not-found", `sandbox ${sandbox} has no exec ${id}`);
  return found;
}

export function execRoutes(app: App, { engine, requests }: DaemonContext): void {
  /** Starts a command; a repeated request finds the one that was started. One that was called off is killed. */
  const start = (reference: string, asked: z.output<typeof execRequest>): Promise<Exec> => {
    const sandbox = engine.sandbox(reference);
    const { id } = asked;
    return requests.run(id, new AbortController().signal, async (signal) => {
      if (id === undefined || !sandbox.execs.has(id))
        engine.audit.note("exec", sandbox.record.name, { argv: shownArgv(asked) });
      const started = await sandbox.exec(asked);
      if (signal.aborted) await started.signal("KILL", "tree");
      return started;
    });
  };

  app.get(
    "/v1/sandboxes/:sandbox/execs",
    { schema: { params: sandboxParams, querystring: pageQuery, response: { 200: execList } } },
    async (request) => {
      const lastEvent = engine.events.lastId;
      const all = [...engine.sandbox(request.params.sandbox).execs.values()];
      const { items, next } = pageOf(all, request.query, {
        idOf: ({ record }) => record.id,
        createdAt: ({ record }) => record.startedAt,
      });
      return { execs: items.map(execView), lastEvent, next };
    },
  );

  app.post(
    "/v1/sandboxes/:sandbox/execs",
    { schema: { params: sandboxParams, body: execRequest, response: { 200: exec } } },
    async (request) => execView(await start(request.params.sandbox, request.body)),
  );

  app.post(
    "/v1/sandboxes/:sandbox/exec",
    { schema: { params: sandboxParams, body: runOnceRequest, response: { 200: execResult } } },
    async (request, reply) => {
      const { maxOutputBytes, ...asked } = request.body;
      const signal = goneSignal(reply);
      const started = await start(request.params.sandbox, { ...asked, stdin: false });
      return readToEnd(started, { maxOutputBytes, signal });
    },
  );

  app.delete(
    "/v1/requests/:request",
    { schema: { params: z.object({ request: requestId }) } },
    async (request, reply) => {
      await requests.cancel(request.params.request);
      return reply.code(204).send();
    },
  );

  app.get(
    "/v1/sandboxes/:sandbox/execs/:exec",
    { schema: { params, response: { 200: exec } } },
    async (request) => execView(findExec(engine, request.params.sandbox, request.params.exec)),
  );

  app.post(
    "/v1/sandboxes/:sandbox/execs/:exec/signal",
    { schema: { params, body: signalRequest } },
    async (request, reply) => {
      const found = findExec(engine, request.params.sandbox, request.params.exec);
      const { signal, to } = request.body;
      if (!found.isOver)
        await engine.sandbox(request.params.sandbox).use("exec", () => found.signal(signal, to));
      return reply.code(204).send();
    },
  );
}
