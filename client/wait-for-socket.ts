import { type FSWatcher, watch } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";

/** Whether somebody accepts connections at `socket`. */
export function canConnect(socket: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const connection = connect(socket);
  connection.once("connect", () => resolve(true));
  connection.once("error", () => resolve(false));
  return promise.finally(() => connection.destroy());
}

/** How {@link waitForSocket} is bounded. */
export interface WaitForSocketOptions {
  deadlineMs: number;
  signal?: AbortSignal | undefined;
}

/**
 * Waits until `socket` accepts connections, woken by changes of its folder. Between a server's bind and listen there
 * is no such change, hence also a retry that backs off from 4 to 128 ms.
 * @returns false when the deadline passed. @throws the signal's reason when aborted.
 */
export async function waitForSocket(socket: string, options: WaitForSocketOptions): Promise<boolean> {
  const end = performance.now() + options.deadlineMs;
  let wake = (): void => {};
  let watcher: FSWatcher | undefined;
  const wakeUp = (): void => wake();
  try {
    watcher = watch(dirname(socket), wakeUp);
    watcher.on("error", wakeUp);
  } catch {
    // the folder is not there (yet): the retries do
  }
  options.signal?.addEventListener("abort", wakeUp);
  try {
    for (let pauseMs = 4; ; pauseMs = Math.min(pauseMs * 2, 128)) {
      options.signal?.throwIfAborted();
      const changed = Promise.withResolvers<void>();
      wake = changed.resolve;
      if (await canConnect(socket)) return true;
      if (performance.now() >= end) return false;
      const timer = setTimeout(wakeUp, pauseMs);
      await changed.promise.finally(() => clearTimeout(timer));
    }
  } finally {
    watcher?.close();
    options.signal?.removeEventListener("abort", wakeUp);
  }
}
