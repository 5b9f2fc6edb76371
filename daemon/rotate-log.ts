/** The daemon's log is the file behind its stdout. It is kept short: what is too much goes to `<log>.1`, whose content before is lost. */
import { copyFileSync, fstatSync, ftruncateSync, readlinkSync } from "node:fs";
import { basename } from "node:path";

const MAX_BYTES = 8 << 20;
const LOOK_EVERY_MS = 30_000;

/** Looks at the log now and then. Nothing happens when stdout is no log file: systemd's journal rotates by itself. */
export function keepLogShort(): void {
  setInterval(() => rotateLog(1), LOOK_EVERY_MS).unref();
  rotateLog(1);
}

/**
 * Moves the content of the log file `fd` to `<log>.1` when it has more than `maxBytes`. The file was opened for appending, so its writer goes on at
 * the start. Never throws.
 */
export function rotateLog(fd: number, maxBytes = MAX_BYTES): void {
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile() || stats.size <= maxBytes) return;
    const path = readlinkSync(`/proc/self/fd/${fd}`);
    if (basename(path) !== "daemon.log") return;
    copyFileSync(path, `${path}.1`);
    ftruncateSync(fd);
  } catch {
    // A full disk: the next look may succeed.
  }
}
