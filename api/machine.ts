import { z } from "zod";
import { isolations } from "./closed-lists.ts";

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
export const isolation = z.enum(isolations);
/** What a machine's memory needs of a host to go on. */
export const machineNeeds = z.strictObject({
  runner: z.string(),
  build: z.string(),
  accelerator: z.enum(["kvm", "tcg"]),
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
});
/** What the machine's process uses of the host. */
export const machineStats = z.object({ pssBytes: z.int(), rssBytes: z.int(), cpuMs: z.number() });
export type Resources = z.infer<typeof resources>;
export type MachineNeeds = z.infer<typeof machineNeeds>;
export type ExecDefaults = z.infer<typeof execDefaults>;
export type MachineStats = z.infer<typeof machineStats>;
