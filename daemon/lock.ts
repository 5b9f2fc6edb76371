/** One daemon per state folder: an abstract socket, which the kernel frees however its holder ends. */
import { createHash } from "node:crypto";
import { createServer, type Server } from "node:net";

/** The held lock, or null when another daemon has it. */
export function lockHome(home: string): Promise<Server | null> {
  const name = `\0thaw-${createHash("sha256").update(home).digest("hex").slice(0, 32)}`;
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(null) : reject(error),
    );
    server.listen({ path: name }, () => resolve(server));
    server.unref();
  });
}
