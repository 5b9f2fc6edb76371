import { startDaemon } from "./autostart.ts";
import { ThawError } from "./errors.ts";
import type { ThawPaths } from "./paths.ts";
import { drain, Transport } from "./transport.ts";
import { waitForSocket } from "./wait-for-socket.ts";

const goneDeadlineMs = 10_000;

/** Asks the daemon to end (its machines go on) and waits until its socket is gone. @throws ThawError `daemon-mismatch` when it stays. */
export async function stopDaemon(paths: ThawPaths, signal?: AbortSignal): Promise<void> {
  const transport = new Transport({ ...paths, autostart: false });
  try {
    await drain(await transport.request({ method: "POST", path: "/v1/shutdown", anyVersion: true, signal }));
  } finally {
    transport.close();
  }
  if (await waitForSocket(paths.socket, { until: "gone", deadlineMs: goneDeadlineMs, signal })) return;
  throw new ThawError(
    "daemon-mismatch",
    `the daemon at ${paths.socket} did not stop within ${goneDeadlineMs / 1000} s`,
    {
      hint: "thaw daemon status shows its process id; its machines go on without it",
    },
  );
}

/** Stops the daemon there is and starts this build's. */
export async function replaceDaemon(paths: ThawPaths, signal?: AbortSignal): Promise<void> {
  await stopDaemon(paths, signal);
  await startDaemon(paths, signal);
}
