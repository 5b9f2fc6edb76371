import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { until } from "./processes.ts";

/** Waits until a process that was started listens at a Unix socket: its file is there a moment before. */
export async function untilListening({ pid }: ChildProcess, path: string): Promise<void> {
  // The flag is the kernel's __SO_ACCEPTCON; the table is that of the process's own network namespace.
  const listens = (line: string): boolean => line.split(" ")[3] === "00010000" && line.endsWith(` ${path}`);
  await until(
    () => readFileSync(`/proc/${pid}/net/unix`, "utf8").split("\n").some(listens),
    `process ${pid} to listen at ${path}`,
  );
}
