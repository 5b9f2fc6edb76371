/** What is kept of a sandbox on disk: enough for the next daemon to adopt it, or to clear it away. */
import { z } from "zod";
import { execDefaults, machineNeeds, resources } from "../snapshots/manifest.ts";

const machineRecord = z.object({
  runner: z.string(),
  id: z.string(),
  runtimeDir: z.string(),
  stateDir: z.string(),
  pid: z.int(),
  startTicks: z.string(),
  isolation: z.enum(["kvm", "emulated (jailed)", "emulated (not jailed)"]),
  uid: z.int(),
  resources,
  needs: machineNeeds,
});

export const sandboxRecord = z.object({
  schema: z.literal(1),
  id: z.string(),
  name: z.string(),
  state: z.enum(["creating", "running", "paused", "stopped", "failed"]),
  from: z.string(),
  snapshot: z.string(),
  runner: z.string(),
  resources,
  defaults: execDefaults,
  labels: z.record(z.string(), z.string()),
  createdAt: z.string(),
  reason: z.string().nullable(),
  leased: z.boolean(),
  /** Leased until its command has ended, then kept. */
  keep: z.boolean(),
  thawMs: z.number().nullable(),
  /** null until the machine runs. */
  machine: machineRecord.nullable(),
});
export type SandboxRecord = z.infer<typeof sandboxRecord>;
