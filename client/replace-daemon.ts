import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { paced } from "../host/pace.ts";
import { ThawError } from "./errors.ts";
import { installDaemon } from "./install.ts";
import { NodeTransport } from "./node-transport.ts";
import type { ThawPaths } from "./paths.ts";
import { readJson } from "./read-json.ts";
import { drain, type Transport } from "./transport.ts";
import { findOwnVersion } from "./version.ts";

const GONE_DEADLINE_MS = 10_000;
/** Between two looks at whether its process is gone: of a process that is not a child nothing tells the end. */
const LOOK_MS = 10;

async function findPid(transport: Transport, signal: AbortSignal | undefined): Promise<number> {
  const body = await transport.request({ method: "GET", path: "/v1/info", anyVersion: true, signal });
  return ((await readJson(body)) as { pid: number }).pid;
}

/** Whether the process is gone or a zombie. One of another pid namespace looks so too. */
function hasEnded(pid: number): boolean {
  try {
    return /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
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
 * Asks the daemon to end (its machines go on) and waits until its process is gone: then nothing of it writes into the state folder.
 * @throws ThawError `daemon-mismatch` when it stays; the system's error when there is none.
 */
export async function stopDaemon(paths: ThawPaths, signal?: AbortSignal): Promise<void> {
  const transport = new NodeTransport({ ...paths, autostart: false });
  try {
    const pid = await findPid(transport, signal);
    await askToEnd(transport, "/v1/shutdown", signal);
    const end = performance.now() + paced(GONE_DEADLINE_MS);
    const isGone = async () =>
      hasEnded(pid) && (await findPid(transport, signal).catch(() => undefined)) !== pid;
    for (; performance.now() < end; await sleep(LOOK_MS, undefined, { signal })) if (await isGone()) return;
  } finally {
    transport.close();
  }
  throw new ThawError(
    "daemon-mismatch",
    `the daemon at ${paths.socket} did not stop within ${paced(GONE_DEADLINE_MS) / 1000} s`,
    {
      hint: "thaw daemon status shows its process id; its machines keep running without it",
    },
  );
}

/** Asks the daemon to end if its build is older than this one: of several clients that ask, the later ones meet the new daemon. */
export async function endOlderDaemon(paths: ThawPaths, signal?: AbortSignal): Promise<void> {
  // Before the older one ends: whoever finds no daemon then starts the newest build there is.
  await installDaemon(paths.home);
  const transport = new NodeTransport({ ...paths, autostart: false });
  const path = `/v1/shutdown?olderThan=${findOwnVersion().built}`;
  try {
    await askToEnd(transport, path, signal);
  } finally {
    transport.close();
  }
}
