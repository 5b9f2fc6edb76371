/** `/v1/run`: create, lease and exec over one connection. */
import { EngineError } from "../../engine/errors.ts";
import { shownArgv } from "../../engine/secrets/shown-argv.ts";
import { runRequest } from "../api/schema.ts";
import type { DaemonContext } from "../context.ts";
import { execView, sandboxView } from "../views.ts";
import { watchExec } from "./attach.ts";
import type { Connection } from "./connection.ts";
import { writers } from "./writers.ts";

const FIRST_MESSAGE_MS = 10_000;

export async function serveRun({ engine }: DaemonContext, connection: Connection): Promise<void> {
  const gone = new AbortController();
  connection.onClose(() => gone.abort());
  try {
    const parsed = runRequest.safeParse(await firstMessage(connection, gone.signal));
    if (!parsed.success) {
      const details = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
      throw new EngineError("usage", details[0] ?? "a run request of the wrong shape", { details });
    }
    const request = parsed.data;
    const started = request.hold
      ? new Promise<void>((resolve) => (connection.onStart = resolve))
      : Promise.resolve();
    const sandbox = await engine.create({
      ...request.create,
      leased: true,
      keep: request.keep,
      onProgress: (progress) => connection.status(progress),
      signal: gone.signal,
    });
    connection.letGoOnClose(engine.leases.hold(sandbox.id), request.returnMs);
    connection.onClose(sandbox.acquireUse());
    connection.status({ type: "created", sandbox: sandboxView(engine, sandbox) });
    await Promise.race([started, aborted(gone.signal)]);
    engine.audit.note("run", sandbox.record.name, { argv: shownArgv(request.exec) });
    let ready: Promise<void> = Promise.resolve();
    const exec = await sandbox.exec(request.exec, (fresh) => {
      writers.claim(fresh, connection, { name: "thaw run", takeover: false });
      ready = watchExec(connection, fresh, { out: 0, err: 0 }).ready;
    });
    connection.status({ type: "started", exec: execView(exec) });
    await exec.ended();
    await ready;
    if (connection.isOpen) await engine.commandEnded(sandbox);
    connection.status({ type: "exit", exec: execView(exec) });
    connection.close();
  } catch (error) {
    connection.fail(error);
  }
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
