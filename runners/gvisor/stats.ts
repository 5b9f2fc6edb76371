/** What the processes of a machine use of the host: its sandbox and the stubs that run its programs. */
import { readFile } from "node:fs/promises";
import type { MachineStats } from "../runner.ts";

const TICKS_PER_SECOND = 100;
const KIB = 1024;

/** @param group the cgroup that has all machines of the runner */
export async function groupStats(group: string, id: string): Promise<MachineStats> {
  const pids = await members(`${group}/${id}`);
  const all = await Promise.all(pids.map(processStats));
  const sum = (of: (one: MachineStats) => number): number => all.reduce((total, one) => total + of(one), 0);
  return {
    pssBytes: sum(({ pssBytes }) => pssBytes),
    rssBytes: sum(({ rssBytes }) => rssBytes),
    cpuMs: sum(({ cpuMs }) => cpuMs),
  };
}

/** Of version 2, or of version 1's controller of memory. */
async function members(group: string): Promise<string[]> {
  for (const root of ["/sys/fs/cgroup", "/sys/fs/cgroup/memory"]) {
    const text = await readFile(`${root}/${group}/cgroup.procs`, "utf8").catch(() => null);
    if (text !== null) return text.split("\n").filter((line) => /^\d+$/.test(line));
  }
  return [];
}

/** Zeros for a process that has ended meanwhile. */
async function processStats(pid: string): Promise<MachineStats> {
  const read = (name: string) => readFile(`/proc/${pid}/${name}`, "utf8").catch(() => "");
  const [memory, stat] = await Promise.all([read("smaps_rollup"), read("stat")]);
  const kib = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(memory)?.[1] ?? 0);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // utime and stime, and those of children that were waited for.
  const ticks = fields.slice(11, 15).reduce((total, field) => total + (Number(field) || 0), 0);
  return {
    ...{ pssBytes: kib("Pss") * KIB, rssBytes: kib("Rss") * KIB },
    cpuMs: (ticks * 1000) / TICKS_PER_SECOND,
  };
}
