import { OlderDaemon } from "./answer.ts";
import { describeConnectionError, isNobodyThere } from "./connection-error.ts";
import type { ThawPaths } from "./paths.ts";

/** Where a client connects, and whether it may start a daemon that is not there. */
export interface ReachOptions extends ThawPaths {
  /** Start a daemon when there is none, replace one that is older than this client. Default true. */
  autostart?: boolean | undefined;
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
  const { autostart = true, socket } = options;
  try {
    return await attempt();
  } catch (error) {
    if (autostart && !signal?.aborted && isNobodyThere(error)) {
      const { startDaemon } = await import("./autostart.ts");
      await startDaemon(options, signal);
    } else if (autostart && error instanceof OlderDaemon) {
      const { replaceDaemon } = await import("./replace-daemon.ts");
      await replaceDaemon(options, signal);
    } else {
      throw describeConnectionError(error, socket, signal);
    }
  }
  try {
    return await attempt();
  } catch (error) {
    throw describeConnectionError(error, socket, signal);
  }
}
