/** What a process uses of the host. */
import { readFileSync } from "node:fs";

/** Of `/proc/PID/stat`: hundredths of a second. */
const TICK_MS = 10;
const MIB = 2 ** 20;

/** Processor time since the process began, or the thread: `PID/task/TID`. */
export function cpuMsOf(pid: number | string): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // the program's name may have spaces and brackets in it
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

export function rssMibOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return (Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024) / MIB;
}
