/** The server over stdin and stdout, for a client that starts it. Nothing but the protocol is written to stdout. */
import { setTimeout as sleep } from "node:timers/promises";
import { StdioServerTransport, serveStdio } from "@modelcontextprotocol/server/stdio";
import type { Thaw } from "../client/index.ts";
import { Calls } from "./call.ts";
import { CLEANUP_MS } from "./limits.ts";
import { createServer } from "./server.ts";

/** Serves one client until it closes stdin or stdout, or `signal` aborts. Then what calls have begun is undone, in bounded time. */
export async function serveOverStdio(
  thaw: Thaw,
  { signal, onError }: { signal: AbortSignal; onError: (error: Error) => void },
): Promise<void> {
  const calls = new Calls();
  const transport = new StdioServerTransport();
  const handle = serveStdio(() => createServer(thaw, calls), { transport, onerror: onError });
  const closed = Promise.withResolvers<void>();
  const tellServer = transport.onclose;
  transport.onclose = () => {
    tellServer?.();
    closed.resolve();
  };
  const stop = (): void => void handle.close().then(closed.resolve, closed.resolve);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  await closed.promise;
  await Promise.race([calls.settled(), sleep(2 * CLEANUP_MS, undefined, { ref: false })]);
}
