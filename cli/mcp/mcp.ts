import { serveOverStdio } from "../../mcp/stdio.ts";
import { withClient } from "../connect.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { cleanText } from "../format/clean-text.ts";
import { writeErr } from "../output.ts";

/** `thaw mcp`. @returns 0 when the client has gone. */
export async function mcp(): Promise<number> {
  if (process.stdin.isTTY === true)
    writeErr(
      "thaw: waiting for an agent on stdin (docs/MCP.md tells how to add it to one); Ctrl-D ends it\n",
    );
  using interrupt = abortOnSignals();
  const { signal } = interrupt;
  const onError = (error: Error): void => writeErr(`thaw: ${cleanText(error.message).slice(0, 500)}\n`);
  await withClient((thaw) => serveOverStdio(thaw, { signal, onError }));
  signal.throwIfAborted();
  return 0;
}
