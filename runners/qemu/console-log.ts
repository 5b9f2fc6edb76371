/** The guest's serial console: QEMU keeps the last bytes in memory and gives each of them once; what was read is kept in a file. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CONSOLE_BYTES, CONSOLE_DEVICE } from "./argv.ts";
import type { QmpClient } from "./qmp.ts";

export const CONSOLE_FILE = "console.log";

/**
 * Moves what QEMU holds into `stateDir/console.log`, which keeps the last 64 KiB, and returns that. Without `qmp` (the machine is
 * gone) returns what was kept before. Untrusted bytes: escape before showing.
 */
export async function readConsole(stateDir: string, qmp: QmpClient | undefined): Promise<string> {
  const path = join(stateDir, CONSOLE_FILE);
  const before = await readFile(path).catch(() => Buffer.alloc(0));
  const fresh = qmp === undefined ? Buffer.alloc(0) : await drain(qmp).catch(() => Buffer.alloc(0));
  if (fresh.length === 0) return before.toString("utf8");
  const kept = Buffer.concat([before, fresh]).subarray(-CONSOLE_BYTES);
  await writeFile(`${path}.tmp`, kept);
  await rename(`${path}.tmp`, path);
  return kept.toString("utf8");
}

async function drain(qmp: QmpClient): Promise<Buffer> {
  const data = await qmp.execute("ringbuf-read", {
    device: CONSOLE_DEVICE,
    size: CONSOLE_BYTES,
    format: "base64",
  });
  return typeof data === "string" ? Buffer.from(data, "base64") : Buffer.alloc(0);
}
