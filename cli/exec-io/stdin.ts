import { addAbortSignal } from "node:stream";
import { setImmediate } from "node:timers/promises";
import type { ExecConnection } from "../../client/index.ts";
import type { DetachReader } from "./detach-reader.ts";

/** Once disposed of, nothing more is read from our terminal: what is typed from then on is the shell's. */
export function letGoOfTerminal(): Disposable {
  return {
    [Symbol.dispose]: () => {
      if (process.stdin.isTTY === true) process.stdin.destroy();
    },
  };
}

/** All of our stdin, for a verb that takes it whole. @throws the signal's reason when it comes first, or together with the end */
export async function* readStdin(signal: AbortSignal): AsyncGenerator<Buffer, void> {
  try {
    for await (const chunk of addAbortSignal(signal, process.stdin)) yield chunk as Buffer;
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
  // Ctrl-C ends a pipe's writer too. Its end may be seen a turn before our own signal, which is there already.
  for (let turn = 0; turn < 2; turn++) await setImmediate();
  signal.throwIfAborted();
}

/** Passes our stdin on to its end, but for the detach keys. Ours may outlive the exec: then it is left alone. */
export async function passStdin(connection: ExecConnection, keys?: DetachReader): Promise<void> {
  try {
    for await (const chunk of process.stdin) {
      const typed = keys?.take(chunk as Buffer) ?? (chunk as Buffer);
      if (typed.length > 0) await connection.writeStdin(typed);
    }
  } catch {
    // a terminal that has gone ends stdin like a closed pipe does
  }
  const held = keys?.end();
  if (held !== undefined && held.length > 0) await connection.writeStdin(held);
  connection.endStdin();
}
