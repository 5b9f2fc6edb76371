/** Connects to the sockets QEMU makes in a machine's runtime folder. */
import { connect, type Socket } from "node:net";

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
