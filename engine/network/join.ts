/** Two connections as one: each way ends on its own, and a reset of one resets the other. */
import { Socket } from "node:net";
import type { Duplex } from "node:stream";

/** Resolves when both are closed. */
export async function join(guest: Duplex, upstream: Duplex): Promise<void> {
  guest.pipe(upstream);
  upstream.pipe(guest);
  await bothClosed(guest, upstream);
}

/** For two that are piped to each other. */
export async function bothClosed(guest: Duplex, upstream: Duplex): Promise<void> {
  const ends = (one: Duplex, other: Duplex): Promise<void> =>
    new Promise((resolve) => {
      one.on("error", () => reset(other));
      one.once("close", () => {
        // Whoever has heard the end of the other and said its own is closed by itself.
        if (!one.readableEnded || !one.writableFinished) reset(other);
        resolve();
      });
      if (one.destroyed) {
        reset(other);
        resolve();
      }
    });
  await Promise.all([ends(guest, upstream), ends(upstream, guest)]);
}

/** A unix socket can't be reset: it is closed. */
export function reset(connection: Duplex): void {
  if (connection.destroyed) return;
  if (connection instanceof Socket && isTcp(connection)) connection.resetAndDestroy();
  else connection.destroy();
}

/** Node throws when anything else is reset. One that has no handle yet is being made to an address. */
function isTcp(socket: Socket): boolean {
  return socket.connecting || socket.localPort !== undefined;
}
