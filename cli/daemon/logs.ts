import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync, watch } from "node:fs";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { findDaemonLog, findPaths, hostDaemon, ThawError } from "../../client/index.ts";
import { userUnit } from "../../host/systemd-units.ts";
import { requireLocalContext } from "../connect.ts";
import { cleanText } from "../format/clean-text.ts";
import { writeOut } from "../output.ts";
import { quoteWord } from "./units.ts";

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
    // It was moved away, and goes on at its start.
    if (fstatSync(this.#fd).size < this.#offset) this.#offset = 0;
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

/** What was moved away when the log became too long. */
function readRotated(path: string): string[] {
  const rotated = `${path}.1`;
  if (!existsSync(rotated)) return [];
  return readFileSync(rotated, "utf8").split("\n").slice(0, -1);
}

/** journalctl's arguments where systemd runs the daemon of these paths; null where its log is a file. */
export function planJournal(
  { home, socket }: { home: string; socket: string },
  flags: { follow?: boolean; tail?: number },
  units: { host: string; user: string } = { host: hostDaemon.unit, user: userUnit() },
): string[] | null {
  const ofHost = socket === hostDaemon.socket && existsSync(units.host);
  const ofUser =
    existsSync(units.user) && readFileSync(units.user, "utf8").includes(`--home ${quoteWord(home)} `);
  if (!ofHost && !ofUser) return null;
  return [
    ...(ofHost ? [] : ["--user"]),
    ...["--unit", "thaw.service", "--output", "cat", "--no-pager"],
    ...["--lines", flags.tail === undefined ? "all" : String(flags.tail)],
    ...(flags.follow === true ? ["--follow"] : []),
  ];
}

async function printJournal(args: string[], print: (lines: readonly string[]) => void): Promise<void> {
  const child = spawn("journalctl", args, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "close") as Promise<[number | null, string | null]>;
  ended.catch(() => {});
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => child.kill(signal));
  try {
    for await (const line of createInterface({ input: child.stdout })) print([line]);
    const [code] = await ended;
    if (code !== 0 && code !== null)
      throw new ThawError("host-not-ready", `journalctl failed with exit code ${code}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new ThawError(
      "host-not-ready",
      "the daemon's log is in systemd's journal, and there is no journalctl",
      {
        cause: error,
      },
    );
  } finally {
    child.kill();
  }
}

/** A line as the daemon logs it, or one that something else has written there. */
function asObject(line: string): string {
  try {
    const parsed: unknown = JSON.parse(line);
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed))
      return JSON.stringify(parsed);
  } catch {
    // Of Node itself, say.
  }
  return JSON.stringify({ msg: line });
}

/** `thaw daemon logs`. With `follow` it goes on until interrupted. */
export async function showLogs(flags: { follow?: boolean; tail?: number; json?: boolean }): Promise<void> {
  requireLocalContext("daemon logs");
  const { home, socket } = findPaths();
  const print = (lines: readonly string[]): void => {
    for (const line of lines) writeOut(`${flags.json === true ? asObject(line) : cleanText(line)}\n`);
  };
  const journal = planJournal({ home, socket }, flags);
  if (journal !== null) return printJournal(journal, print);
  const path = findDaemonLog(home);
  if (!existsSync(path)) {
    throw new ThawError("not-found", `there is no log yet: ${path}`, { hint: "thaw daemon start" });
  }
  const fd = openSync(path, "r");
  try {
    const reader = new LineReader(fd);
    const lines = [...readRotated(path), ...reader.read()];
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
