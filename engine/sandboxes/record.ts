/** What is kept of a sandbox on disk: enough for the next daemon to adopt it, or to clear it away. */

import { z } from "zod";
import { sandboxCache } from "../../api/cache.ts";
import { SANDBOX_STATES } from "../../api/closed-lists.ts";
import { execDefaults, isolation, machineNeeds, recordedResources } from "../../api/machine.ts";
import { networkPolicy } from "../../api/network.ts";
import { forward } from "../../api/ports.ts";
import { previewGrant } from "../../api/preview.ts";
import { noNetwork } from "../network/policy.ts";
import { sealedSecrets } from "../secrets/sealed.ts";
import { recordKind } from "../state/record.ts";

const machineRecord = z.object({
  runner: z.string(),
  id: z.string(),
  runtimeDir: z.string(),
  stateDir: z.string(),
  isolation,
  uid: z.int(),
  resources: recordedResources,
  needs: machineNeeds,
  imported: z.boolean().default(false),
  hostBoot: z.string().optional(),
});

/** What a stopped sandbox is thawed from again, with its snapshot. */
const frozen = z.object({
  /** What its machine had become, in the folder `frozen`; null: the snapshot was made of its machine, for it alone. */
  difference: z
    .object({
      ...{ id: z.string(), layers: z.array(z.string()), build: z.string() },
      imported: z.boolean().default(false),
    })
    .nullable(),
});
export type Frozen = z.infer<typeof frozen>;

const ms = z.number().nullable().default(null);
const time = z.string().nullable().default(null);

/** When a sandbox changes by itself. Times are absolute, so that they outlive the daemon (docs/LIFECYCLE.md). */
export const timers = z.object({
  /** The hard end: removed, whatever it does. */
  expiresAt: time,
  /** Paused when idle this long. */
  idleMs: ms,
  /** Frozen and stopped when paused this long. */
  stopAfterMs: ms,
  /** Removed when stopped or failed this long. */
  removeAfterMs: ms,
  /** Idle since then; null while it is busy. */
  idleSince: time,
  /** CPU time the machine had used at `idleSince`, ms: what it used while no daemon looked shows in the difference. */
  idleCpuMs: z.number().default(0),
  /** When it came to its present state. */
  stateSince: time,
});
export type Timers = z.infer<typeof timers>;

export const noTimers = (): Timers => timers.parse({});

export const sandboxRecord = z.object({
  schema: z.literal(1),
  id: z.string(),
  name: z.string(),
  /** `removed` is written before anything is: a folder that says so is cleared by the next daemon. */
  state: z.enum(SANDBOX_STATES),
  from: z.string(),
  snapshot: z.string(),
  runner: z.string(),
  resources: recordedResources,
  defaults: execDefaults,
  labels: z.record(z.string(), z.string()),
  createdAt: z.string(),
  reason: z.string().nullable(),
  leased: z.boolean(),
  /** Leased until its command has ended, then kept. */
  keep: z.boolean(),
  /**
   * The client's request that made it. Asked again by the same id, it is the answer, at its place among those it made.
   * `answered` is on disk before the answer is sent, so that a sandbox that a client knows of stays, whenever the daemon is killed; what
   * nobody was answered ends as a lease does.
   */
  request: z
    .object({ id: z.string(), answered: z.boolean(), index: z.int().default(0) })
    .nullable()
    .default(null),
  /** Made for work of the daemon's own, as a rerun's: with that daemon gone, nobody needs it. */
  temporary: z.boolean().default(false),
  /** Ids of the last requests that changed it, written with the change. One that comes again changes nothing. */
  changes: z.array(z.string()).default([]),
  thawMs: z.number().nullable(),
  /** A capture thawed again: it reaches nobody and has no secrets. */
  replay: z
    .object({ capture: z.string(), level: z.enum(["memory", "disk"]), exact: z.boolean() })
    .nullable()
    .default(null),
  /** What a request may not undo: a machine that a full disk paused goes on when somebody says so. */
  heldBy: z.enum(["disk-full", "disk-failed", "disk-room", "disk-limit"]).nullable().default(null),
  /** What finds the values that its execs were told are secret, in what it writes and in captures of it. */
  secrets: sealedSecrets.nullable().default(null),
  timers: timers.default(noTimers),
  /** Thawed from more than its snapshot: another sandbox's state, or a capture's. */
  derived: z.boolean().default(false),
  /** Not null only while it is stopped and can go on. */
  frozen: frozen.nullable().default(null),
  /** Snapshot that was made for it alone: goes with it. */
  ownSnapshot: z.string().nullable().default(null),
  /** Its machine's, also after it was frozen. */
  machineId: z.string().nullable().default(null),
  /** Folders in it that survive it. */
  cache: sandboxCache.nullable().default(null),
  /** What it may reach. */
  network: networkPolicy.default(() => noNetwork()),
  /** Its guest trusts the authorities of its host. */
  trusted: z.boolean().default(false),
  /** Ports of the host that lead into it. */
  forwards: z.array(forward).default([]),
  /** Who may look at ports of it without a link. */
  previews: z.array(previewGrant).default([]),
  /** Why its machine, which was ended, is still there. It is ended again, and counts until it is gone. */
  lingers: z.string().nullable().default(null),
  /** null until the machine runs. */
  machine: machineRecord.nullable(),
});
export const sandboxKind = recordKind("sandbox record", sandboxRecord);
export type SandboxRecord = z.infer<typeof sandboxRecord>;
