/** Finds and ends the processes of a machine whose record is incomplete or gone. */
import { readdir, readFile } from "node:fs/promises";
import { RunnerError } from "../runner.ts";
import { processName } from "./argv.ts";
import { killQuietly } from "./machine.ts";

const TIMEOUT_MS = 5_000;

/** Kills QEMU and the jail's outer half, whichever of them exist, until none is left. */
export async function killByName(id: string): Promise<void> {
  const deadline = performance.now() + TIMEOUT_MS;
  for (;;) {
    const pids = await processesOf(id);
    if (pids.length === 0) return;
    if (performance.now() > deadline) {
      throw new RunnerError(
        "timeout",
        `processes ${pids.join(", ")} of machine ${id} did not end within ${TIMEOUT_MS} ms`,
      );
    }
    for (const pid of pids) killQuietly(pid);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Processes with `-name <the machine's>` among their arguments. A zombie has no arguments. */
export async function processesOf(id: string): Promise<number[]> {
  const wanted = `\0-name\0${processName(id)}\0`;
  const found: number[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const commandLine = await readFile(`/proc/${entry}/cmdline`, "latin1").catch(() => "");
    if (commandLine.includes(wanted)) found.push(Number(entry));
  }
  return found;
}
