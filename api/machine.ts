import { z } from "zod";
import { ISOLATIONS } from "./closed-lists.ts";
import { RUNNER_PATTERN, RUNNER_PHRASE } from "./patterns.ts";

/**
 * The end of a machine's disk, beyond what its root file system takes: a file system for cached folders goes there. It takes no room on the host
 * until it is written to.
 */
export const CACHE_ROOM_MIB = 8192;

export const resources = z.object({
  cpus: z.int().min(1).max(64),
  memoryMib: z.int().min(64).max(1_048_576),
  diskMib: z.int().min(64).max(16_777_216),
});
/** As manifests and case files record them. */
export const recordedResources = z.strictObject({
  cpus: z.int().min(1),
  memoryMib: z.int().min(1),
  diskMib: z.int().min(1),
});
export const isolation = z.enum(ISOLATIONS);
export const runnerName = z.string().regex(RUNNER_PATTERN, RUNNER_PHRASE);
/** What a machine's memory needs of a host to go on. */
export const machineNeeds = z.strictObject({
  runner: z.string(),
  build: z.string(),
  accelerator: z.enum(["kvm", "tcg", "systrap"]),
  machine: z.string(),
  cpu: z.string(),
  kernel: z.string(),
  devices: z.string(),
});
/** What execs in a sandbox of this snapshot get by default. */
export const execDefaults = z.strictObject({
  env: z.record(z.string(), z.string()),
  user: z.string(),
  workdir: z.string(),
  /** Commands for `sh -e`, as root: run in each new clone before anything else may run in it. */
  onThaw: z.array(z.strictObject({ name: z.string(), run: z.string() })).optional(),
});
/** What the machine's process uses of the host. */
/** What one sandbox's machine uses of the host. */
export const sandboxStats = z.object({
  id: z.string(),
  name: z.string(),
  state: z.string(),
  /** When the sandbox was made. */
  createdAt: z.string(),
  /** Proportional share of memory, shared pages divided among those that map them. */
  pssBytes: z.int(),
  rssBytes: z.int(),
  /** Processor time since its machine began. */
  cpuMs: z.number(),
  /** Of one processor, since the sample before; null in the first sample that has it. */
  cpuPercent: z.number().nullable(),
});
export const statsSample = z.object({
  time: z.string(),
  host: z.object({ memoryMib: z.int(), availableMib: z.int(), cpus: z.int() }),
  sandboxes: z.array(sandboxStats),
});
export const statsQuery = z.object({
  /** `1`: a sample after each interval, until the client goes. */
  follow: z.enum(["0", "1"]).default("0"),
  intervalMs: z.coerce.number().int().min(1000).max(3_600_000).default(2000),
});
export type SandboxStats = z.infer<typeof sandboxStats>;
export type StatsSample = z.infer<typeof statsSample>;
export const machineStats = z.object({ pssBytes: z.int(), rssBytes: z.int(), cpuMs: z.number() });
export type Resources = z.infer<typeof resources>;
export type MachineNeeds = z.infer<typeof machineNeeds>;
export type ExecDefaults = z.infer<typeof execDefaults>;
export type MachineStats = z.infer<typeof machineStats>;
