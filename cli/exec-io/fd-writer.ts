import { write } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

/**
 * Writes bytes to a file descriptor off the main thread, so that a reader that is slow, or stopped, holds up neither signals nor the other
 * stream. Resolves when everything is written; rejects with the system's error, e.g. `EPIPE`.
 */
export async function writeFully(fd: number, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const result = await writeOnce(fd, bytes, at);
    if (typeof result === "number") at += result;
    // the descriptor is shared with somebody who made it non-blocking; nothing tells when there is room again
    else if (result.code === "EAGAIN") await pause(2);
    else throw result;
  }
}

function writeOnce(fd: number, bytes: Uint8Array, at: number): Promise<number | NodeJS.ErrnoException> {
  const { promise, resolve } = Promise.withResolvers<number | NodeJS.ErrnoException>();
  write(fd, bytes, at, bytes.length - at, null, (error, written) => resolve(error ?? written));
  return promise;
}
