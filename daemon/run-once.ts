/** A command that is run to its end: its output, as much as is asked for, and its exit code. */
import { channel } from "../api/channels.ts";
import { exitCodeOf } from "../api/exit-code.ts";
import type { ExecResult } from "../api/schema.ts";
import { EngineError } from "../engine/errors.ts";
import type { Exec } from "../engine/execs/exec.ts";
import { followExec } from "../engine/execs/follow.ts";
import { execView } from "./views.ts";

/** Throws what kept the command from being started, or how it was lost. */
export async function readToEnd(
  exec: Exec,
  { maxOutputBytes, signal }: { maxOutputBytes: number; signal: AbortSignal },
): Promise<ExecResult> {
  const kept: Record<1 | 2, Buffer[]> = { 1: [], 2: [] };
  const left = { 1: maxOutputBytes, 2: maxOutputBytes };
  let truncated = false;
  for await (const piece of followExec(exec, { from: { out: 0, err: 0 }, follow: true, signal })) {
    if ("droppedUntil" in piece) truncated = true;
    else {
      const room = left[piece.channel];
      if (piece.data.length > room) truncated = true;
      const part = piece.data.subarray(0, room);
      left[piece.channel] -= part.length;
      // A copy: the piece may be a small part of a large buffer.
      if (part.length > 0) kept[piece.channel].push(Buffer.from(part));
    }
  }
  signal.throwIfAborted();
  await exec.ended();
  const view = execView(exec);
  if (view.error !== null)
    throw new EngineError(view.error.code, view.error.message, { hint: view.error.hint });
  if (view.exit === null) throw new EngineError("internal", "the command ended without an exit status");
  const text = (of: 1 | 2): string => Buffer.concat(kept[of]).toString("utf8");
  return {
    exitCode: exitCodeOf(view.exit),
    stdout: text(channel.stdout),
    stderr: text(channel.stderr),
    truncated,
    exec: view,
  };
}
