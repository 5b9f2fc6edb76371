/** Connects to the sockets QEMU makes in a machine's runtime folder. */
import { connect, type Socket } from "node:net";
import { RunnerError } from "../runner.ts";

/** Size of `sun_path` less its final zero. */
export const MAX_SOCKET_PATH_BYTES = 107;

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

/** One try. The folder is the keeper's, which made the socket. Rejects with the system's error (`ENOENT`, `ECONNREFUSED`). */
export async function connectUnix(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(socket);
    });
  });
}
