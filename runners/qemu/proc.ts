/** What the kernel says of a process under /proc. */
import { readFile } from "node:fs/promises";

/** Clock ticks a second in /proc, fixed by the kernel's interface on x86-64. */
const TICKS_PER_SECOND = 100;

export interface ProcessStat {
  /** One letter: R S D Z T … */
  state: string;
  /** Field 22: start time in ticks since boot; with the pid it names one process for good. */
  startTicks: string;
  /** User and system time used, ms. */
  cpuMs: number;
}

/** Undefined when there is no such process. */
export async function readStat(pid: number): Promise<ProcessStat | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  return text === undefined ? undefined : parseStat(text);
}

/** Parses the text of /proc/PID/stat; the process's name, field 2, may itself hold spaces and parentheses. */
export function parseStat(text: string): ProcessStat | undefined {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, startTicks] = [fields[0], fields[19]];
  if (state === undefined || startTicks === undefined) return undefined;
  return { state, startTicks, cpuMs: ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND };
}

/** Whether that very process still runs; a zombie does not. */
export async function isAlive(pid: number, startTicks: string): Promise<boolean> {
  const stat = await readStat(pid);
  return stat !== undefined && stat.startTicks === startTicks && stat.state !== "Z" && stat.state !== "X";
}

/** Proportional and resident memory in bytes; zeros when the process is gone or not ours to look at. */
export async function readMemory(pid: number): Promise<{ pssBytes: number; rssBytes: number }> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
  const bytes = (name: string): number =>
    1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0);
  return { pssBytes: bytes("Pss"), rssBytes: bytes("Rss") };
}

/**
 * Waits until the process is gone, looking every 1 to 20 ms.
 * @returns false when it still runs after `timeoutMs`
 */
export async function waitGone(pid: number, startTicks: string, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (let delay = 1; await isAlive(pid, startTicks); delay = Math.min(20, delay * 2)) {
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, delay));
  }
  return true;
}
