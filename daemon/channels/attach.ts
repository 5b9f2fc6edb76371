/** `…/attach`: the output of an exec from any offset on, and its stdin for one client. */
import { z } from "zod";
import { EngineError } from "../../engine/errors.ts";
import type { Exec } from "../../engine/execs/exec.ts";
import { endOf, scrollbackOf } from "../../engine/execs/positions.ts";
import type { DaemonContext } from "../context.ts";
import { findExec } from "../routes/execs.ts";
import { execView } from "../views.ts";
import type { Connection } from "./connection.ts";
import { writers } from "./writers.ts";

const offset = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0);
const query = z.object({
  out: offset,
  err: offset,
  stdin: z.string().optional(),
  lease: z.string().optional(),
  /** With `lease`: as of a run. */
  returnMs: z.coerce.number().int().min(0).max(60_000).default(0),
  /** Instead of offsets: this much of what was written last, from the start of a line on. */
  scrollback: z.coerce
    .number()
    .int()
    .min(0)
    .max(16 << 20)
    .optional(),
  takeover: z.string().optional(),
  /** What the client calls itself, for the others. */
  as: z.string().max(128).default("another client"),
});

export async function serveAttach(
  { engine }: DaemonContext,
  connection: Connection,
  at: { sandbox: string; exec: string; query: URLSearchParams },
): Promise<void> {
  try {
    const asked = query.safeParse(Object.fromEntries(at.query));
    if (!asked.success) throw new EngineError("usage", asked.error.issues[0]?.message ?? "invalid query");
    const { out, err, stdin, lease, returnMs, scrollback, takeover, as } = asked.data;
    const exec = findExec(engine, at.sandbox, at.exec);
    const sandbox = engine.sandbox(at.sandbox);
    connection.onClose(sandbox.acquireUse());
    if (stdin === "1" && !exec.isOver) await sandbox.wake();
    if (lease === "1") connection.letGoOnClose(engine.leases.hold(sandbox.id), returnMs);
    const from = scrollback === undefined ? { out, err } : await scrollbackOf(exec.log, scrollback);
    connection.startFrom(from.out, from.err);
    connection.status({ type: "started", exec: execView(exec) });
    const asWriter = stdin === "1";
    connection.onInput = () => sandbox.wake();
    const writtenBy = asWriter
      ? writers.claim(exec, connection, { name: as, takeover: takeover === "1" })
      : writers.nameOf(exec);
    const end = endOf(exec.log);
    connection.status({
      type: "attached",
      ...{ out: from.out, err: from.err, outEnd: end.out, errEnd: end.err },
      ...{ writer: asWriter && writtenBy === null, writtenBy },
    });
    const { ready } = watchExec(connection, exec, from);
    await exec.ended();
    await ready;
    if (lease === "1" && connection.isOpen) await engine.commandEnded(engine.sandbox(at.sandbox));
    connection.status({ type: "exit", exec: execView(exec) });
    connection.close();
  } catch (error) {
    connection.fail(error);
  }
}

/** Sends an exec's output and stdin offsets to a connection until either is over. */
export function watchExec(
  connection: Connection,
  exec: Exec,
  from: { out: number; err: number },
): { ready: Promise<void> } {
  const onStdin = (taken: number) => connection.status({ type: "stdin", offset: taken });
  exec.on("stdin", onStdin);
  onStdin(exec.stdinOffset);
  connection.watch(exec);
  connection.onAcknowledge = () => exec.releaseHeld();
  const { stop, ready } = exec.subscribe(connection, from);
  ready.catch((error) => connection.fail(error));
  connection.onClose(() => {
    stop();
    exec.off("stdin", onStdin);
  });
  return { ready };
}
