/** Descriptors that came from whoever started the daemon: it must not hold their pipes open, nor hand them on to machines. */
import { closeSync, readdirSync, readFileSync } from "node:fs";

/** From open(2), as /proc shows it. Node opens everything of its own with it. */
const O_CLOEXEC = 0o2000000;
const LAST_STANDARD_FD = 2;

export function closeInherited(): void {
  for (const name of readdirSync("/proc/self/fd")) {
    const fd = Number(name);
    if (fd <= LAST_STANDARD_FD) continue;
    try {
      const flags = Number.parseInt(
        /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? "0",
        8,
      );
      if ((flags & O_CLOEXEC) === 0) closeSync(fd);
    } catch {
      // It was the listing's own.
    }
  }
}
