import { z } from "zod";
import { cacheRequest, sandboxCache } from "./cache.ts";
import { networkModes, SANDBOX_STATES } from "./closed-lists.ts";
import { exec } from "./exec.ts";
import { isolation, resources, runnerName } from "./machine.ts";
import { networkRequest } from "./network.ts";
import { listEnd } from "./page.ts";
import { forward, forwardRequest } from "./ports.ts";
import { templateFiles } from "./template-files.ts";
import { lengthMs, reference, sandboxName } from "./text.ts";

/** `removed` is only seen of one that is going. */
export const sandboxState = z.enum(SANDBOX_STATES);

/** What happens to a sandbox by itself, and when. */
export const next = z.object({ action: z.enum(["pause", "stop", "remove"]), at: z.string() });

export const sandbox = z.object({
  id: z.string(),
  name: z.string(),
  state: sandboxState,
  /** The tag asked for, or the snapshot's id. */
  from: z.string(),
  snapshot: z.string(),
  isolation,
  resources,
  labels: z.record(z.string(), z.string()),
  createdAt: z.string(),
  /** Stopped, and a request thaws it again. */
  frozen: z.boolean(),
  /** Why it is in this state, where that is not plain: stopped, failed, unresponsive, not removed yet. */
  reason: z.string().nullable(),
  /** Ends with its client. */
  leased: z.boolean(),
  /** Milliseconds from the request to the agent's answer. */
  thawMs: z.number().nullable(),
  /** Set when it is a capture thawed again. */
  replay: z.object({ capture: z.string(), level: z.enum(["memory", "disk"]), exact: z.boolean() }).nullable(),
  /** `rules`: what rules name and nothing else. `unavailable`: why there is no way out of its guest, where the policy would have one. */
  network: z.object({ mode: z.enum([...networkModes, "rules"]), unavailable: z.string().nullable() }),
  /** Folders in it that survive it. */
  cache: sandboxCache.nullable(),
  /** Ports of the host that lead into it. */
  ports: z.array(forward),
  /** Ports that programs in it listen at, as it last told. */
  listening: z.array(z.int()),
  /** null: nothing, as things are. */
  next: next.nullable(),
  /** Its hard end. */
  expiresAt: z.string().nullable(),
  /** Paused when idle this long; null: never. */
  idleMs: z.number().nullable(),
  /** Frozen and stopped when paused this long. */
  stopAfterMs: z.number().nullable(),
  /** Removed when stopped or failed this long. */
  removeAfterMs: z.number().nullable(),
  execs: z.array(exec),
});

export const source = z
  .object({
    /** A shipped template's name; built when absent. */
    template: z.string().max(64).optional(),
    /** A template's text, for templates that live in a client's files; built when absent. */
    recipe: z.string().max(262_144).optional(),
    /** Files that the recipe places in its machine, by path. */
    files: templateFiles.optional(),
    /** Makes the machine: `qemu` or `gvisor`. Default: the template's, else the host's. */
    runner: runnerName.optional(),
    /** A tag or id; never built. */
    snapshot: reference.optional(),
    /** A capture's id, or `latest`: replayed, without network and secrets. */
    capture: reference.optional(),
    /** Of a replay. Default: the best that this host can. */
    level: z.enum(["memory", "disk"]).optional(),
    /** Of a replay: keep the recorded entropy, clock and identity. Two such replays are twins. */
    exact: z.boolean().optional(),
  })
  .refine(
    (s) => [s.template, s.recipe, s.snapshot, s.capture].filter((x) => x !== undefined).length <= 1,
    "give one of template, recipe, snapshot and capture",
  )
  .refine(
    (s) => s.capture !== undefined || (s.level === undefined && s.exact === undefined),
    "level and exact need capture",
  );

/** null: never, also when the host's default says otherwise. */
const timer = lengthMs.nullable().optional();

const timers = {
  /** Hard end: removed this long after its creation. */
  ttlMs: timer,
  /** Paused when idle this long. */
  idleMs: timer,
  /** Frozen and stopped when paused this long, on hosts that can. */
  stopAfterMs: timer,
  /** Removed when stopped or failed this long. */
  removeAfterMs: timer,
};

export const labels = z.record(z.string().max(128), z.string().max(1024));

export const createRequest = z.object({
  /** Default: the template `base`. */
  source: source.default({}),
  name: sandboxName.optional(),
  labels: labels.default({}),
  cpus: z.int().min(1).max(64).optional(),
  memoryMib: z.int().min(64).max(1_048_576).optional(),
  ...timers,
  /** What it may reach, beyond what the host's configuration says. A replay reaches nothing. */
  network: networkRequest.optional(),
  /** Folders in it that survive it. They are saved by a request of their own. */
  cache: cacheRequest.optional(),
  /** Ports of the host that lead into it. */
  ports: z.array(forwardRequest).max(64).optional(),
  /** Wait in line this long when the host is full. */
  waitMs: lengthMs.optional(),
});

export const forkRequest = z.object({
  count: z.int().min(1).max(100).default(1),
  /** Children are named PREFIX-1, PREFIX-2, …; default: by their ids. */
  name: sandboxName.max(36).optional(),
  /** Added to the parent's. */
  labels: labels.optional(),
  /** Hard end of each child: removed this long after its creation. Default: the host's, not the parent's. */
  ttlMs: timer,
});
/** Changes of a sandbox. */
export const patchRequest = z.object({
  /** Its new name. Its guest keeps the hostname that it has. */
  name: sandboxName.optional(),
  /** Labels to set; null removes one. The others stay. */
  labels: z.record(z.string().max(128), z.string().max(1024).nullable()).optional(),
  /** Those that are named; the others stay. */
  ...timers,
});
export const extendRequest = z.object({ byMs: lengthMs });
/** `KEY=VALUE`, or `KEY` with any value. */
export const labelSelector = z.string().min(1).max(1200);
export const waitQuery = z.object({
  for: z.enum(["stopped", "removed", "exec"]).default("stopped"),
  exec: z.string().max(64).optional(),
  timeoutMs: z.coerce.number().pipe(lengthMs).optional(),
});
export const sandboxList = z.object({ sandboxes: z.array(sandbox), ...listEnd });
export const waitResult = z.object({
  state: sandboxState,
  reason: z.string().nullable(),
  exec: exec.nullable(),
});

export type Next = z.infer<typeof next>;
export type Sandbox = z.infer<typeof sandbox>;
export type CreateRequest = z.input<typeof createRequest>;
export type ForkRequest = z.input<typeof forkRequest>;
export type PatchRequest = z.infer<typeof patchRequest>;
export type SandboxList = z.infer<typeof sandboxList>;
export type WaitResult = z.infer<typeof waitResult>;
