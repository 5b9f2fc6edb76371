import { ThawError } from "./errors.ts";
import { findOwnVersion } from "./version.ts";

/** The headers by which a daemon knows whether it is older than its client. */
export function versionHeaders(): Record<string, string> {
  const own = findOwnVersion();
  return {
    "thaw-client-version": own.version,
    "thaw-client-built": String(own.built),
    "thaw-client-digest": own.digest,
    "thaw-client-pid": String(process.pid),
  };
}

/** The daemon refuses to serve a client that is newer than itself. */
export class OlderDaemon extends ThawError {}

/** The daemon is about to end, and does not take requests any more. */
export class DaemonLeaving extends ThawError {}

/** @throws ThawError of an answer of 400 or more; {@link OlderDaemon} for 426, {@link DaemonLeaving} for 503 without an error of the API. */
export async function throwAnswer(status: number, readJson: () => Promise<unknown>): Promise<never> {
  const body = await readJson().catch(() => null);
  const error = ThawError.fromApi(body, `the daemon answered ${status}`);
  if (status === 503 && error.code === "internal")
    throw new DaemonLeaving("daemon-unreachable", "the daemon is stopping", { hint: "thaw daemon logs" });
  if (status !== 426) throw error;
  throw new OlderDaemon("daemon-mismatch", error.message, {
    hint: error.hint ?? "thaw daemon stop; thaw daemon start",
  });
}
