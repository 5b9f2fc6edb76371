/** Which build this is, and who may be served by it. */
import type { IncomingHttpHeaders } from "node:http";
import { EngineError } from "../engine/errors.ts";
import type { DaemonContext } from "./context.ts";

/** A newer client must not be served by older code: it restarts the daemon and asks again. */
export function refuseOlderSelf(
  { version, restartCommand }: DaemonContext,
  headers: IncomingHttpHeaders,
): void {
  // The same code, built again.
  if (headers["thaw-client-digest"] === version.digest) return;
  if (Number(headers["thaw-client-built"] ?? 0) > version.built) {
    throw new EngineError("daemon-mismatch", `this daemon (${version.version}) is older than its client`, {
      hint:
        restartCommand === undefined
          ? "thaw daemon stop; the next command starts the new daemon"
          : `thaw daemon install updates systemd's unit; then: ${restartCommand}`,
    });
  }
}
