import { HalfAnswer, NotThaw } from "./answer.ts";
import { formatSsh } from "./contexts/remote.ts";
import { systemCode, ThawError } from "./errors.ts";
import { hostDaemon } from "./host-daemon.ts";
import type { ReachOptions } from "./reach.ts";

/** Whether an error says that no daemon listens there. */
export function isNobodyThere(error: unknown): boolean {
  // What a store's failure was caused by is not the daemon's.
  if (error instanceof ThawError && error.code.startsWith("store-")) return false;
  const code = systemCode(error);
  return code === "ENOENT" || code === "ECONNREFUSED";
}

const BROKEN_CODES = new Set(["ECONNRESET", "ECONNABORTED", "EPIPE"]);

/** Whether a connection to the daemon ended in the middle of a request: the daemon was killed, or is about to end. */
export function isBroken(error: unknown): boolean {
  if (error instanceof ThawError && error.code !== "daemon-unreachable") return false;
  return error instanceof HalfAnswer || BROKEN_CODES.has(systemCode(error) ?? "");
}

/** Whether what came is not HTTP: a far shell's greeting came first. */
function isNotHttp(error: unknown): boolean {
  return String((error as { code?: unknown } | undefined)?.code).startsWith("HPE_");
}

/** Whether TLS does not take the server's certificate. */
function isDistrusted(error: unknown): boolean {
  const code = String((error as { code?: unknown } | undefined)?.code);
  return /^(ERR_TLS_CERT|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/.test(code);
}

/** Turns a transport's error into one that names the socket, or the far host. Thaw's own errors, and aborts, pass. */
export function describeConnectionError(
  error: unknown,
  { socket, remote }: Pick<ReachOptions, "socket" | "remote">,
  signal?: AbortSignal,
): unknown {
  if (error instanceof ThawError || signal?.aborted) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (remote !== undefined) {
    if (isDistrusted(error))
      return new ThawError(
        "daemon-unreachable",
        `the certificate of ${remote.host} is not trusted: ${message}`,
        {
          hint: `its authority as a file in PEM: thaw context add ${remote.name} ${remote.url} --token-file FILE --ca-file FILE --force`,
          cause: error,
        },
      );
    return new ThawError("daemon-unreachable", `lost the daemon at ${remote.host}: ${message}`, {
      hint:
        remote.by === "ssh" && isNotHttp(error)
          ? `"${formatSsh(remote)} true" must print nothing: shell start-up files on that host write to stdout`
          : `thaw --context ${remote.name} daemon status`,
      cause: error,
    });
  }
  if (isNotHttp(error))
    return new NotThaw(`it does not speak HTTP at ${socket}: ${message}`, { cause: error });
  const code = systemCode(error);
  if (code === "EACCES" || code === "EPERM") {
    return new ThawError("daemon-unreachable", `not allowed to use the daemon's socket ${socket}`, {
      hint: "join the socket's group, or run your own daemon: set THAW_SOCKET and THAW_HOME",
      cause: error,
    });
  }
  const ofHost = socket === hostDaemon.socket;
  return new ThawError("daemon-unreachable", `lost the daemon at ${socket}: ${message}`, {
    hint: ofHost ? `systemctl status thaw; ${hostDaemon.logs}` : "thaw daemon status; thaw daemon logs",
    cause: error,
  });
}
