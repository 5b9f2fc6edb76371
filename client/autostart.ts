import { spawn } from "node:child_process";
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { paced } from "../host/pace.ts";
import { pickDaemonEnvironment } from "./daemon-environment.ts";
import { findDaemonLog } from "./daemon-log.ts";
import { ThawError } from "./errors.ts";
import { type InstalledDaemon, installDaemon } from "./install.ts";
import { makeFolders, type ThawPaths } from "./paths.ts";
import { waitForSocket } from "./wait-for-socket.ts";

const START_DEADLINE_MS = 15_000;
const SHOWN_LOG_LINES = 12;
/** How often a daemon that is killed before it answers is started again. */
const MAX_KILLED = 3;
/**
 * MiB of each half of the heap's new space. A small one lets buffers that pass through go early, which keeps the daemon a third smaller; one that
 * has to grow first is collected often while the daemon starts.
 */
const NEW_SPACE = ["--min-semi-space-size=4", "--max-semi-space-size=4"];

function readLogSince(path: string, offset: number): string[] {
  try {
    const lines = readFileSync(path).subarray(offset).toString("utf8").trimEnd().split("\n");
    const written = lines.filter((line) => line !== "");
    // What a daemon says that can't start is no JSON, as the log of one that runs is.
    const plain = written.filter((line) => !line.startsWith("{"));
    return (plain.length > 0 ? plain : written).slice(-SHOWN_LOG_LINES);
  } catch {
    return [];
  }
}

/** Starts under way, by home and socket: several requests of one client find at once that there is no daemon. */
const starting = new Map<string, Promise<void>>();

/**
 * Starts the daemon for `paths` and waits until it accepts connections (15 s). Of several at once one wins: the others exit with 0
 * by themselves, and whoever started them finds the winner's socket.
 * @throws ThawError `host-not-ready` when it can't be installed, `daemon-unreachable` with its last log lines when it does not come up; the
 * signal's reason when aborted.
 */
export async function startDaemon(paths: ThawPaths, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  const key = `${paths.home}\0${paths.socket}`;
  let begun = starting.get(key);
  if (begun === undefined) {
    begun = start(paths).finally(() => starting.delete(key));
    starting.set(key, begun);
  }
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    await Promise.race([begun, aborted.promise]);
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

async function start(paths: ThawPaths): Promise<void> {
  makeFolders(paths);
  const installed = await installDaemon(paths.home);
  for (let killed = 0; ; killed += 1) {
    const failure = await startOnce(paths, installed);
    if (failure === null) return;
    if (!failure.killed || killed === MAX_KILLED) throw failure.error;
  }
}

/** @returns why it did not start, and whether somebody killed it; null when it did */
async function startOnce(
  paths: ThawPaths,
  installed: InstalledDaemon,
): Promise<{ error: ThawError; killed: boolean } | null> {
  const { fd, log } = openLog(paths);
  const before = fstatSync(fd).size;
  const args = [...NEW_SPACE, installed.script, "--home", paths.home, "--socket", paths.socket];
  const child = spawn(installed.node, args, {
    cwd: "/",
    detached: true,
    stdio: ["ignore", fd, fd],
    env: pickDaemonEnvironment(process.env),
  });
  closeSync(fd);
  child.unref();
  const failed = new AbortController();
  let killed = false;
  child.once("error", (error) => failed.abort(error));
  child.once("exit", (code, signal) => {
    killed = signal === "SIGKILL";
    if (code !== 0) failed.abort(new Error(`it ended with ${signal ?? `exit code ${code}`}`));
  });
  const deadlineMs = paced(START_DEADLINE_MS);
  let reason = `it did not answer within ${deadlineMs / 1000} s`;
  try {
    if (await waitForSocket(paths.socket, { deadlineMs, signal: failed.signal })) return null;
  } catch (error) {
    reason = (error as Error).message;
  } finally {
    child.removeAllListeners();
  }
  const error = new ThawError("daemon-unreachable", `thaw's daemon did not start: ${reason}`, {
    hint: `thaw daemon logs (${log})`,
    details: readLogSince(log, before),
  });
  return { error, killed };
}

/** Of a home on a read-only file system it is beside the socket. */
function openLog({ home, socket }: ThawPaths): { fd: number; log: string } {
  const log = findDaemonLog(home);
  const open = (path: string) => ({ fd: openSync(path, "a", 0o600), log: path });
  try {
    return open(log);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EROFS") return open(join(dirname(socket), "daemon.log"));
    throw new ThawError("host-not-ready", `can't write ${log}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
