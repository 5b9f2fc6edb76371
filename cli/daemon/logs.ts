import { closeSync, existsSync, openSync, readSync, watch } from "node:fs";
import { dirname } from "node:path";
import { findDaemonLog, findPaths, hostDaemon, ThawError } from "../../client/index.ts";
import { requireLocalContext } from "../connect.ts";
import { cleanText } from "../format/clean-text.ts";
import { writeOut } from "../output.ts";

/** Reads whole lines as a file grows. */
class LineReader {
  readonly #fd: number;
  #offset = 0;
  #rest = "";
  readonly #decoder = new TextDecoder();

  constructor(fd: number) {
    this.#fd = fd;
  }

  read(): string[] {
    const buffer = Buffer.allocUnsafe(65_536);
    const lines: string[] = [];
    for (;;) {
      const count = readSync(this.#fd, buffer, 0, buffer.length, this.#offset);
      if (count === 0) return lines;
      this.#offset += count;
      const parts = (this.#rest + this.#decoder.decode(buffer.subarray(0, count), { stream: true })).split(
        "\n",
      );
      this.#rest = parts.pop() ?? "";
      lines.push(...parts);
    }
  }
}

/** `thaw daemon logs`. With `follow` it goes on until interrupted. */
export async function showLogs(flags: { follow?: boolean; tail?: number; json?: boolean }): Promise<void> {
  requireLocalContext("daemon logs");
  const { home, socket } = findPaths();
  if (socket === hostDaemon.socket && !existsSync(findDaemonLog(home)))
    throw new ThawError("not-found", "the log of the host's daemon is systemd's journal", {
      hint: `${hostDaemon.logs}${flags.follow === true ? " -f" : ""}`,
    });
  const path = findDaemonLog(home);
  if (!existsSync(path)) {
    throw new ThawError("not-found", `there is no log yet: ${path}`, { hint: "thaw daemon start" });
  }
  const fd = openSync(path, "r");
  const print = (lines: readonly string[]): void => {
    for (const line of lines) writeOut(`${flags.json === true ? JSON.stringify(line) : cleanText(line)}\n`);
  };
  try {
    const reader = new LineReader(fd);
    const lines = reader.read();
    print(flags.tail === undefined ? lines : lines.slice(lines.length - Math.min(flags.tail, lines.length)));
    if (flags.follow !== true) return;
    const interrupted = Promise.withResolvers<void>();
    const watcher = watch(dirname(path), () => print(reader.read()));
    process.once("SIGINT", interrupted.resolve);
    process.once("SIGTERM", interrupted.resolve);
    print(reader.read());
    await interrupted.promise.finally(() => watcher.close());
  } finally {
    closeSync(fd);
  }
}
