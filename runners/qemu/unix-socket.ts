/** Connects to the sockets QEMU makes in a machine's runtime folder. */
import { watch } from "node:fs";
import { lstat } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { dirname } from "node:path";
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

/**
 * One try. The folder belongs to the jailed uid, which could put a symbolic link to a socket of the host there: only a socket itself
 * is connected to. Rejects with the system's error (`ENOENT`, `ECONNREFUSED`).
 */
export async function connectUnix(path: string): Promise<Socket> {
  if (!(await lstat(path)).isSocket()) throw new RunnerError("start-failed", `${path} is not a socket`);
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(socket);
    });
  });
}

/**
 * Connects as soon as somebody listens at `path`; its folder must exist. Rejects with `timeout`, or with the signal's reason.
 * The folder's watch wakes it when the socket appears; between its creation and listening there is a moment to retry through.
 */
export async function connectWhenReady(
  path: string,
  options: { timeoutMs: number; signal: AbortSignal },
): Promise<Socket> {
  const { signal, timeoutMs } = options;
  const deadline = performance.now() + timeoutMs;
  let wake = (): void => {};
  const watcher = watch(dirname(path), () => wake());
  const onAbort = (): void => wake();
  signal.addEventListener("abort", onAbort);
  try {
    for (;;) {
      signal.throwIfAborted();
      // Armed before the try, so that a socket made during it is not missed.
      const changed = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const code = await connectUnix(path).catch((error: NodeJS.ErrnoException) => error.code ?? error);
      if (typeof code !== "string") {
        if (code instanceof Error) throw code;
        return code;
      }
      if (performance.now() > deadline) {
        throw new RunnerError("timeout", `QEMU did not listen on ${path} within ${timeoutMs} ms (${code})`);
      }
      await pauseUntil(changed, code === "ECONNREFUSED" ? 1 : Math.min(250, timeoutMs));
    }
  } finally {
    watcher.close();
    signal.removeEventListener("abort", onAbort);
  }
}

async function pauseUntil(event: Promise<void>, atMostMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, atMostMs);
  });
  await Promise.race([event, timeout]);
  clearTimeout(timer);
}
