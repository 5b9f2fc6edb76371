/** What is kept of a failure beside the machine. docs/CAPTURES.md. */
import { z } from "zod";
import { ciContext, execExit, trigger } from "./exec.ts";
import { crash, guestProcesses, listeningPorts } from "./guest.ts";
import { MAX_LAST_LINES } from "./last-lines.ts";
import { isolation, machineNeeds, recordedResources } from "./machine.ts";
import { CAPTURE_ID_PATTERN } from "./patterns.ts";
import { digest, shortText } from "./text.ts";

export const captureId = z.string().regex(CAPTURE_ID_PATTERN);

export const caseFile = z.strictObject({
  schema: z.literal(1),
  id: captureId,
  createdAt: z.iso.datetime(),
  /** Name of the host it was taken on. */
  host: shortText,
  sandbox: z.strictObject({
    id: z.string().max(64),
    name: z.string().max(64),
    labels: z.record(z.string(), z.string()),
  }),
  /** What the sandbox was thawed from: as it was asked for, and the snapshot. */
  base: z.strictObject({ from: shortText, snapshot: z.string().max(64), digest }),
  resources: recordedResources,
  needs: machineNeeds,
  isolation,
  trigger,
  /** null when it was not an exec's end that it was taken for. */
  exec: z
    .strictObject({
      id: z.string().max(64),
      argv: z.array(z.string()).max(10_000),
      cwd: z.string().nullable(),
      user: z.string().nullable(),
      tty: z.boolean(),
      /** Names only; what was said to be secret is in `masked`. */
      envNames: z.array(z.string()).max(10_000),
      masked: z.array(z.string()).max(1_000),
      startedAt: z.string(),
      durationMs: z.number(),
      /** null: it was alive at the freeze. */
      exit: execExit.nullable(),
      lastLines: z.array(z.string()).max(MAX_LAST_LINES),
    })
    .nullable(),
  /** The process that the kernel holds for its core dump. */
  crash: crash.nullable(),
  /** Last lines of the guest's console, when its kernel panicked. */
  console: z.array(z.string()).max(MAX_LAST_LINES),
  /**
   * The state just before the command: the base snapshot; that with the workspace; a checkpoint; or none that is known, since other commands
   * had run in the sandbox.
   */
  before: z.enum(["base", "workspace", "checkpoint", "unknown"]),
  /** What was copied in before the command. `digest`: of the tree stream. */
  workspace: z
    .strictObject({
      path: z.string().max(4096),
      user: z.string().max(128).nullable(),
      digest,
      bytes: z.number(),
    })
    .nullable(),
  /** As the guest told them. */
  processes: guestProcesses,
  listening: listeningPorts,
  /** Destinations that the command asked the host for, and whether it got there. */
  egress: z.array(z.strictObject({ destination: shortText, allowed: z.boolean(), count: z.int() })).max(1000),
  ci: ciContext.nullable(),
  /** Changed since the base snapshot, before compression. */
  changedBytes: z.strictObject({ memory: z.number(), disk: z.number() }),
  pauseMs: z.number(),
  fingerprint: z.string().max(64),
  /** How old the disk is against the memory. Not told by captures of earlier versions. */
  disk: z
    .strictObject({
      /** The guest had written its files out right before the freeze. Those of a tmpfs are in memory only. */
      writtenOut: z.boolean(),
      /** What was written by then is on the disk; of what was written later, only what was synced is sure to be. null: not known. */
      asOf: z.iso.datetime().nullable(),
    })
    .default({ writtenOut: false, asOf: null }),
});
export type CaseFile = z.infer<typeof caseFile>;

/** A secret, or what looks like one, in a part of a capture. Never the value. */
export const finding = z.object({
  /** The variable's name where a value was said to be secret, else the shape: `github-token`, `private-key`, … */
  kind: z.string(),
  where: z.enum(["memory", "disk", "workspace", "request", "log"]),
  part: z.string(),
  count: z.int(),
  /** It was said to be secret. */
  masked: z.boolean(),
  /** Of the guest's memory, the first ones: numbers of its physical pages. */
  pages: z.array(z.int()),
});
export const secretScan = z.object({ at: z.string(), findings: z.array(finding) });

/** What is learnt of a capture later; the capture itself never changes. */
export const captureNotes = z.object({
  /** A trial thaw, and how long it took until the agent answered. null: not tried yet. */
  verified: z
    .union([
      z.object({ ok: z.literal(true), resumeMs: z.number(), at: z.string() }),
      z.object({ ok: z.literal(false), reason: z.string(), at: z.string() }),
    ])
    .nullable()
    .default(null),
  /** Kept whatever the retention says. */
  pinned: z.boolean().default(false),
  /** Goes when it is older, whatever the host's retention says, unless it is pinned. null: as the host's says. */
  maxAgeMs: z.int().positive().nullable().default(null),
  /** What was found when secrets were looked for. null: not done yet. */
  scan: secretScan.nullable().default(null),
});
export type Finding = z.infer<typeof finding>;
export type SecretScan = z.infer<typeof secretScan>;
export type CaptureNotes = z.infer<typeof captureNotes>;
