import { systemCode, ThawError } from "./errors.ts";

/** Whether an error says that no daemon listens there. */
export function isNobodyThere(error: unknown): boolean {
  const code = systemCode(error);
  return code === "ENOENT" || code === "ECONNREFUSED";
}

/** Turns a transport's error into one that names the socket. Thaw's own errors, and aborts, pass. */
export function describeConnectionError(error: unknown, socket: string, signal?: AbortSignal): unknown {
  if (error instanceof ThawError || signal?.aborted) return error;
  const code = systemCode(error);
  if (code === "EACCES" || code === "EPERM") {
    return new ThawError("daemon-unreachable", `not allowed to use the daemon's socket ${socket}`, {
      hint: "join its group, or use a daemon of your own: THAW_SOCKET, THAW_HOME",
      cause: error,
    });
  }
  const message = error instanceof Error ? error.message : String(error);
  return new ThawError("daemon-unreachable", `lost the daemon at ${socket}: ${message}`, {
    hint: "thaw daemon status; thaw daemon logs",
    cause: error,
  });
}
