import { ThawError } from "./errors.ts";
import { installDaemon } from "./install.ts";
import type { ThawPaths } from "./paths.ts";
import { readJson } from "./read-json.ts";
import { drain, Transport } from "./transport.ts";
import { findOwnVersion } from "./version.ts";
import { waitForSocket } from "./wait-for-socket.ts";

const goneDeadlineMs = 10_000;
/** Between two looks at whether another daemon came instead. */
const lookMs = 250;

async function findPid(transport: Transport, signal: AbortSignal | undefined): Promise<number> {
  const body = await transport.request({ method: "GET", path: "/v1/info", anyVersion: true, signal });
  return ((await readJson(body)) as { pid: number }).pid;
}

/** Not repeated: the next daemon is not the one that is to end. */
async function askToEnd(transport: Transport, path: string, signal: AbortSignal | undefined): Promise<void> {
  try {
    const how = { method: "POST", path, anyVersion: true, repeatable: false, signal } as const;
    await drain(await transport.request(how));
  } catch (error) {
    // It ended before it had answered.
    if (!(error instanceof ThawError) || error.code !== "daemon-unreachable") throw error;
  }
}

/**
 * Asks the daemon to end (its machines go on) and waits until nobody listens at its socket, or another daemon does.
 * @throws ThawError `daemon-mismatch` when it stays; the system's error when there is none.
 */
export async function stopDaemon(paths: ThawPaths, signal?: AbortSignal): Promise<void> {
  const transport = new Transport({ ...paths, autostart: false });
  try {
    const pid = await findPid(transport, signal);
    await askToEnd(transport, "/v1/shutdown", signal);
    const end = performance.now() + goneDeadlineMs;
    while (performance.now() < end) {
      if (await waitForSocket(paths.socket, { until: "gone", deadlineMs: lookMs, signal })) return;
      if ((await findPid(transport, signal).catch(() => pid)) !== pid) return;
    }
  } finally {
    transport.close();
  }
  throw new ThawError(
    "daemon-mismatch",
    `the daemon at ${paths.socket} did not stop within ${goneDeadlineMs / 1000} s`,
    {
      hint: "thaw daemon status shows its process id; its machines go on without it",
    },
  );
}

/** Asks the daemon to end if its build is older than this one: of several clients that ask, the later ones meet the new daemon. */
export async function endOlderDaemon(paths: ThawPaths, signal?: AbortSignal): Promise<void> {
  // Before the older one ends: whoever finds no daemon then starts the newest build there is.
  await installDaemon(paths.home);
  const transport = new Transport({ ...paths, autostart: false });
  const path = `/v1/shutdown?olderThan=${findOwnVersion().built}`;
  try {
    await askToEnd(transport, path, signal);
  } finally {
    transport.close();
  }
}
