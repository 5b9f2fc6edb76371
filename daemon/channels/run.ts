/** `/v1/run`: create, lease and exec over one connection. */

import type { z } from "zod";
import { runRequest } from "../../api/schema.ts";
import { EngineError } from "../../engine/errors.ts";
import type { Exec } from "../../engine/execs/exec.ts";
import type { Progress } from "../../engine/progress.ts";
import { shownArgv } from "../../engine/secrets/shown-argv.ts";
import { traced } from "../../engine/tracing.ts";
import type { DaemonContext } from "../context.ts";
import { execView, sandboxView } from "../views.ts";
import { watchExec } from "./attach.ts";
import type { Connection } from "./connection.ts";
import { writers } from "./writers.ts";

const FIRST_MESSAGE_MS = 10_000;
/** Destinations that a run's end tells of. */
const MAX_DENIED = 20;

/** @param id of the request; a repeated one goes on with the sandbox and the exec of the first */
export async function serveRun(
  context: DaemonContext,
  connection: Connection,
  id: string | undefined,
): Promise<void> {
  const gone = new AbortController();
  connection.onClose(() => gone.abort());
  try {
    const parsed = runRequest.safeParse(await firstMessage(connection, gone.signal));
    if (!parsed.success) {
      const details = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
      throw new EngineError("usage", details[0] ?? "invalid run request", { details });
    }
    await traced("run", () => run(context, connection, { request: parsed.data, id, gone: gone.signal }));
  } catch (error) {
    connection.fail(error);
  }
}

async function run(
  { engine, requests }: DaemonContext,
  connection: Connection,
  { request, id, gone }: { request: z.output<typeof runRequest>; id: string | undefined; gone: AbortSignal },
): Promise<void> {
  const sandbox = await requests.run(id, gone, async (signal) => {
    const [known] = id === undefined ? [] : engine.madeBy(id);
    if (known) return known;
    const onProgress = (progress: Progress) => connection.status(progress);
    const create = { ...request.create, leased: true, keep: request.keep, request: id };
    return engine.create({ ...create, onProgress, signal });
  });
  connection.letGoOnClose(engine.leases.hold(sandbox.id), request.returnMs);
  connection.onClose(sandbox.acquireUse());
  connection.onInput = () => sandbox.wake();
  connection.status({ type: "created", sandbox: sandboxView(engine, sandbox) });
  if (request.hold) await Promise.race([connection.started, aborted(gone)]);
  gone.throwIfAborted();
  engine.audit.note("run", sandbox.record.name, { argv: shownArgv(request.exec) });
  let ready: Promise<void> | null = null;
  const watch = (started: Exec): void => {
    writers.claim(started, connection, { name: "thaw run", takeover: true });
    ready = watchExec(connection, started, { out: 0, err: 0 }).ready;
  };
  const exec = await sandbox.exec(request.exec, watch);
  if (ready === null) watch(exec);
  connection.status({ type: "started", exec: execView(exec) });
  await exec.ended();
  await ready;
  if (connection.isOpen) await engine.commandEnded(sandbox);
  const denied = sandbox.network.log.summary.filter(({ verdict }) => verdict === "denied");
  const told = denied.length === 0 ? {} : { denied: denied.slice(0, MAX_DENIED) };
  connection.status({ type: "exit", exec: execView(exec), ...told });
  connection.close();
}

function firstMessage(connection: Connection, signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new EngineError("usage", `no run request within ${FIRST_MESSAGE_MS} ms`)),
      FIRST_MESSAGE_MS,
    );
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new EngineError("cancelled", "the client went away"));
    });
    connection.onFirst = (message) => {
      clearTimeout(timer);
      resolve(message);
    };
  });
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(new EngineError("cancelled", "the client went away")));
  });
}
