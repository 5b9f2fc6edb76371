import { OlderDaemon } from "./answer.ts";
import { describeConnectionError, isNobodyThere } from "./connection-error.ts";
import { formatSsh, type RemoteHost } from "./contexts/remote.ts";
import type { ThawPaths } from "./paths.ts";
import { findOwnVersion } from "./version.ts";

/** Where a client connects, and whether it may start a daemon that is not there. */
export interface ReachOptions extends ThawPaths {
  /** Start a daemon when there is none, replace one that is older than this client. Default true. */
  autostart?: boolean | undefined;
  /** The daemon of another host: the paths play no part, and to start and to replace it is the far thaw's business. */
  remote?: RemoteHost | undefined;
}

function describeOlderFar(error: OlderDaemon, remote: RemoteHost): OlderDaemon {
  const own = findOwnVersion().version;
  return new OlderDaemon(
    "daemon-mismatch",
    `thaw at ${remote.host} is older than this one (${own}): ${error.message}`,
    { hint: `update thaw there; ${formatSsh(remote)} thaw --version`, cause: error },
  );
}

/**
 * Tries `attempt`; when nobody listens, or the daemon is older than this client, starts one and tries once more.
 * @throws ThawError what the daemon answers, or `daemon-unreachable`.
 */
export async function reachDaemon<T>(
  options: ReachOptions,
  attempt: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const { autostart = true, remote } = options;
  try {
    return await attempt();
  } catch (error) {
    if (remote !== undefined && error instanceof OlderDaemon) throw describeOlderFar(error, remote);
    const starts = autostart && remote === undefined;
    if (starts && !signal?.aborted && isNobodyThere(error)) {
      const { startDaemon } = await import("./autostart.ts");
      await startDaemon(options, signal);
    } else if (starts && error instanceof OlderDaemon) {
      const { replaceDaemon } = await import("./replace-daemon.ts");
      await replaceDaemon(options, signal);
    } else {
      throw describeConnectionError(error, options, signal);
    }
  }
  try {
    return await attempt();
  } catch (error) {
    throw describeConnectionError(error, options, signal);
  }
}
