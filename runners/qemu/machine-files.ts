/** Files that a machine writes to while it runs. */
import { chmod, open, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { RunnerError } from "../runner.ts";

const MIB = 1024 * 1024;

/** Makes files writable to their owner. They may be copies of a snapshot's, which nobody may write. */
export async function makeWritable(files: readonly string[]): Promise<void> {
  for (const file of files) await chmod(file, 0o600);
}

/** A new sparse file. A shared mapping of a file the disk has no room for ends QEMU with SIGBUS, so the room is checked first. */
export async function makeMemoryFile(path: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(path));
  if (bavail * bsize < bytes) {
    throw new RunnerError(
      "no-space",
      `${dirname(path)} has ${Math.floor((bavail * bsize) / MIB)} MiB free, the machine's memory needs ${bytes / MIB} MiB`,
      { hint: "free disk space, or set THAW_HOME to a folder on another disk" },
    );
  }
  const handle = await open(path, "wx", 0o600);
  try {
    await handle.truncate(bytes);
  } finally {
    await handle.close();
  }
}
