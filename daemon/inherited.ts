/** Descriptors that came from whoever started the daemon: it must not hold their pipes open, nor hand them on to machines. */
import { closeSync, readdirSync, readFileSync, readlinkSync, realpathSync } from "node:fs";

/** From open(2), as /proc shows it. Node opens everything of its own with it, but for the file of {@link readByNode}. */
const O_CLOEXEC = 0o2000000;
const LAST_STANDARD_FD = 2;

export function closeInherited(): void {
  const kept = readByNode();
  for (const name of readdirSync("/proc/self/fd")) {
    const fd = Number(name);
    if (fd <= LAST_STANDARD_FD) continue;
    try {
      const flags = Number.parseInt(
        /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? "0",
        8,
      );
      if ((flags & O_CLOEXEC) !== 0 || readlinkSync(`/proc/self/fd/${fd}`) === kept) continue;
      closeSync(fd);
    } catch {
      // It was the listing's own.
    }
  }
}

/** A thread of Node's reads it while the daemon starts: closed under it, the next file that is opened would be read and closed in its place. */
function readByNode(): string | null {
  const { NODE_EXTRA_CA_CERTS: path } = process.env;
  try {
    return path === undefined ? null : realpathSync(path);
  } catch {
    return null;
  }
}
