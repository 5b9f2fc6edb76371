/** A sandbox's folder: its record, its machine's disk and its execs' logs. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

export async function makeSandboxDir(dir: string): Promise<void> {
  await mkdir(dir, { mode: 0o711 });
  await mkdir(execsDir(dir), { mode: 0o700 });
}

export function execsDir(sandboxDir: string): string {
  return join(sandboxDir, "execs");
}

/** In a sandbox's folder. */
export const RECORD_FILE = "record.json";

export function recordPath(sandboxDir: string): string {
  return join(sandboxDir, RECORD_FILE);
}
