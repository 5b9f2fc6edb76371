import type { Duplex } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { paced } from "../host/pace.ts";
import { DaemonLeaving, OlderDaemon } from "./answer.ts";
import { describeConnectionError, isBroken, isNobodyThere } from "./connection-error.ts";
import { formatSsh, type RemoteHost } from "./contexts/remote.ts";
import { systemCode } from "./errors.ts";
import { hostDaemon, isKeptBySystemd } from "./host-daemon.ts";
import type { ThawPaths } from "./paths.ts";
import { type AttemptOptions, type Remedy, repeat } from "./repeat.ts";
import { findOwnVersion } from "./version.ts";

/** Where a client connects, and whether it may start a daemon that is not there. */
export interface ReachOptions extends ThawPaths {
  /** Start a daemon when there is none, replace one that is older than this client. Default true. */
  autostart?: boolean | undefined;
  /** Somebody else starts the daemon again when it was killed, as systemd does the host's: it is waited for. Default: systemd is asked about the host's. */
  supervised?: boolean | undefined;
  /** The daemon of another host: the paths play no part, and to start and to replace it is the far thaw's business. */
  remote?: RemoteHost | undefined;
  /** Makes each connection to the daemon, for a client within it: the paths play no part. */
  connect?: (() => Duplex) | undefined;
}

/** Whether an older daemon is replaced. One that is not serves as far as it knows what is asked. */
export function mayReplace({ autostart = true, remote }: ReachOptions): boolean {
  return autostart && remote === undefined;
}

const SYSTEMD_PAUSE_MS = 100;

function describeOlderFar(error: OlderDaemon, remote: RemoteHost): OlderDaemon {
  const own = findOwnVersion().version;
  return new OlderDaemon(
    "daemon-mismatch",
    `thaw at ${remote.host} is older than this one (${own}): ${error.message}`,
    {
      hint:
        remote.by === "ssh" ? `update thaw there; ${formatSsh(remote)} thaw --version` : "update thaw there",
      cause: error,
    },
  );
}

/** To ask systemd is a process each time: where that is slow it is asked less often, so that the daemon gets on. */
const waitForSystemd = (): Promise<void> => pause(paced(SYSTEMD_PAUSE_MS));

/** How to wait for a daemon that this client does not start; undefined when nobody else starts it either. */
async function findSupervisor(
  error: unknown,
  { supervised, socket }: ReachOptions,
): Promise<Remedy | undefined> {
  if (supervised !== undefined) return supervised ? async () => {} : undefined;
  if (socket !== hostDaemon.socket) return undefined;
  // Where systemd can't be asked, the socket that a killed daemon left tells.
  return systemCode(error) === "ECONNREFUSED" || (await isKeptBySystemd()) ? waitForSystemd : undefined;
}

/** What can be done about a failed attempt: undefined when it is final. */
async function findRemedy(
  error: unknown,
  options: ReachOptions,
  { signal, repeatable = true }: AttemptOptions,
): Promise<Remedy | undefined> {
  const { autostart = true, remote } = options;
  const wait = async (): Promise<void> => {};
  if (error instanceof DaemonLeaving) return wait;
  if (isBroken(error)) return repeatable ? wait : undefined;
  if (remote !== undefined) return undefined;
  if (isNobodyThere(error)) {
    // Of a host's daemon that was killed the socket is left, then nothing, until the next one listens.
    if (!autostart) return findSupervisor(error, options);
    return async () => (await import("./autostart.ts")).startDaemon(options, signal);
  }
  if (autostart && error instanceof OlderDaemon)
    return async () => (await import("./replace-daemon.ts")).endOlderDaemon(options, signal);
  return undefined;
}

/**
 * Tries `attempt` until it succeeds or fails for good. A daemon that is not there is started, an older one is replaced, and when a connection
 * breaks the attempt is repeated, for 30 s.
 * @throws ThawError what the daemon answers, or `daemon-unreachable`; the signal's reason when aborted.
 */
export function reachDaemon<T>(
  options: ReachOptions,
  attempt: () => Promise<T>,
  how: AttemptOptions = {},
): Promise<T> {
  const { signal } = how;
  const { remote } = options;
  return repeat(attempt, {
    findRemedy: (error) => findRemedy(error, options, how),
    describe: (error) =>
      error instanceof OlderDaemon && remote !== undefined
        ? describeOlderFar(error, remote)
        : describeConnectionError(error, options, signal),
    signal,
  });
}
