/** What memory this host has, and has left: the kernel's figures, and those of the control group when that gives less. */
import { readFileSync } from "node:fs";

export interface HostMemory {
  totalMib: number;
  availableMib: number;
}

export function readHostMemory(): HostMemory {
  const meminfo = read("/proc/meminfo");
  const total = fieldMib(meminfo, "MemTotal");
  const available = fieldMib(meminfo, "MemAvailable");
  const limit = Number(read("/sys/fs/cgroup/memory.max"));
  if (!Number.isFinite(limit) || limit <= 0) return { totalMib: total, availableMib: available };
  const limitMib = limit / 2 ** 20;
  const usedMib = Number(read("/sys/fs/cgroup/memory.current")) / 2 ** 20;
  return {
    totalMib: Math.floor(Math.min(total, limitMib)),
    availableMib: Math.floor(Math.min(available, limitMib - usedMib)),
  };
}

function fieldMib(meminfo: string, name: string): number {
  return Math.floor(Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(meminfo)?.[1] ?? 0) / 1024);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}
