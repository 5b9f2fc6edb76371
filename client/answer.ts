import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { ThawError } from "./errors.ts";
import { findOwnVersion } from "./version.ts";

/** Who asks. With `build`, a daemon that is older refuses, to be replaced. */
export function versionHeaders({ build }: { build: boolean }): Record<string, string> {
  const own = findOwnVersion();
  return {
    "thaw-client-version": own.version,
    "thaw-client-pid": String(process.pid),
    ...traceHeader(process.env.TRACEPARENT),
    ...(build ? { "thaw-client-built": String(own.built), "thaw-client-digest": own.digest } : {}),
  };
}

/** What this client is a part of, as CI tools tell it by W3C's header as a variable. */
function traceHeader(value = ""): Record<string, string> {
  return /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(value) ? { traceparent: value } : {};
}

/** The daemon refuses to serve a client that is newer than itself. */
export class OlderDaemon extends ThawError {}

/** The daemon is about to end, and does not take requests any more. */
export class DaemonLeaving extends ThawError {}

/** What answers at the daemon's socket is something else, or damaged on its way. */
export class NotThaw extends ThawError {
  /** @param how a clause: `its answer is not JSON: <html>` */
  constructor(how: string, options: { cause?: unknown } = {}) {
    super("daemon-unreachable", `what answers is not thaw's daemon: ${how}`, {
      hint: "thaw daemon status shows the socket; THAW_SOCKET sets another",
      ...options,
    });
  }
}

function isApiError(body: unknown): boolean {
  return typeof (body as { error?: { message?: unknown } } | null)?.error?.message === "string";
}

/** Within a major version of the API a daemon of any version serves any client, as far as it knows what is asked. */
function describeOtherVersion({ message }: ThawError, headers: IncomingHttpHeaders): ThawError {
  const own = findOwnVersion().version;
  const { "thaw-version": version, "thaw-restart": restart } = headers;
  return new ThawError("daemon-mismatch", `${message}: its version is ${version}, this client's ${own}`, {
    hint: `update the older one; to restart the daemon: ${restart === undefined ? "thaw daemon stop; thaw daemon start" : `thaw daemon install, as its unit was; ${restart}`}`,
  });
}

/** @throws ThawError of an answer of 400 or more; {@link OlderDaemon} for 426, {@link DaemonLeaving} for 503 without an error of the API. */
export async function throwAnswer(
  { statusCode: status = 0, headers }: Pick<IncomingMessage, "statusCode" | "headers">,
  readJson: () => Promise<unknown>,
): Promise<never> {
  const body = await readJson().catch(() => null);
  // A daemon that leaves answers 503 without a body of its own.
  if (status !== 503 && !isApiError(body))
    throw new NotThaw(`it answered ${status} without an error of thaw's`);
  const error = ThawError.fromApi(body, `the daemon answered ${status}`);
  if (headers["thaw-no-route"] !== undefined) throw describeOtherVersion(error, headers);
  if (status === 503 && error.code === "internal")
    throw new DaemonLeaving("daemon-unreachable", "the daemon is stopping", { hint: "thaw daemon logs" });
  if (status !== 426) throw error;
  throw new OlderDaemon("daemon-mismatch", error.message, {
    hint: error.hint ?? "thaw daemon stop; thaw daemon start",
  });
}
