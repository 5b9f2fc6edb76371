/**
 * When a daemon last lived, for the next one. The file's time is the host's monotonic clock, which nobody can set, and its content the host's
 * boot. Setting a file's time needs no room on a full disk.
 */
import { readFile, stat, utimes, writeFile } from "node:fs/promises";
import type { Clock } from "../lifecycle/clock.ts";

const BEAT_MS = 2_000;

/** For how long no daemon lived, ms, to within a few seconds; null when that is not known. */
export async function awayFor(path: string, clock: Clock): Promise<number | null> {
  try {
    const [boot, { mtimeMs }] = await Promise.all([readFile(path, "utf8"), stat(path)]);
    return boot === clock.bootId() ? Math.max(0, clock.monotonic() - mtimeMs - BEAT_MS) : null;
  } catch {
    return null;
  }
}

export class Heartbeat {
  readonly #path: string;
  readonly #clock: Clock;
  #timer: NodeJS.Timeout | undefined;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  async start(): Promise<void> {
    // Where it can't be written, an older daemon's content is right unless the host was started anew.
    await writeFile(this.#path, this.#clock.bootId()).catch(() => {});
    await this.#beat();
    this.#timer = setInterval(() => void this.#beat(), BEAT_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#beat();
  }

  async #beat(): Promise<void> {
    const seconds = this.#clock.monotonic() / 1000;
    await utimes(this.#path, seconds, seconds).catch(() => {});
  }
}
