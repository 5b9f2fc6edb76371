/** What the kernel takes as a socket's path. */
import { MAX_SOCKET_PATH_BYTES } from "../../api/socket-path.ts";
import { RunnerError } from "../runner.ts";

/** Rejects a path no socket can have, with what to shorten. */
export function checkSocketPath(path: string): void {
  const length = Buffer.byteLength(path);
  if (length <= MAX_SOCKET_PATH_BYTES) return;
  throw new RunnerError(
    "unsupported",
    `socket path ${path} has ${length} bytes, the kernel takes ${MAX_SOCKET_PATH_BYTES}`,
    { hint: "set XDG_RUNTIME_DIR to a shorter folder" },
  );
}
