import { connect } from "node:net";
import { findPaths } from "../../client/index.ts";
import { withClient } from "../connect.ts";

/**
 * `thaw daemon stdio`: starts this host's daemon when needed, then joins stdin and stdout with one connection to it, byte for byte. Ends
 * when either side is gone; one that has only said its last is still listened to.
 */
export async function joinStdio(): Promise<void> {
  await withClient((client) => client.host.info(), { context: { remote: undefined } });
  const { socket: path } = findPaths();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect({ path, allowHalfOpen: true });
  socket.once("error", reject);
  socket.once("close", () => resolve());
  process.stdout.on("error", () => socket.destroy());
  process.stdin.on("error", () => socket.destroy());
  process.stdin.pipe(socket);
  socket.pipe(process.stdout);
  // with the daemon's end, ours is of no use
  socket.once("end", () => socket.destroySoon());
  await promise.finally(() => process.stdin.destroy());
}
