/**
 * The shapes of the daemon's API, version 1. The one source for request validation, the OpenAPI document and (as types) the client.
 * Sizes are in the unit their name ends with; times are ISO 8601 in UTC.
 */
import { z } from "zod";
import { captureNotes, caseFile } from "../../engine/captures/case-file.ts";
import { levels } from "../../engine/captures/check.ts";
import { errorCodes } from "../../engine/errors.ts";
import { event } from "../../engine/events/event.ts";
import { capturePolicy, trigger } from "../../engine/execs/ending.ts";
import { execExit } from "../../engine/execs/exit.ts";
import { captureOutcome } from "../../engine/execs/record.ts";
import { ciContext } from "../../engine/execs/request.ts";
import { sandboxStates } from "../../engine/sandboxes/state.ts";
import { MAX_MANIFEST_BYTES, outline, wireName, wirePart } from "../../engine/travel/wire.ts";

export { event };

/** What may name a sandbox: as a hostname, so that it can become one. */
export const sandboxName = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/, "lower-case letters, digits and inner dashes, 40 at most");
/** `name` or `name:version`, as in `node:24`. */
export const tag = z
  .string()
  .regex(
    /^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?(:[A-Za-z0-9_][A-Za-z0-9._-]{0,62})?$/,
    "NAME or NAME:VERSION",
  );
const reference = z.string().min(1).max(200);
const envName = z
  .string()
  .regex(/^[^=\0]+$/, "no = and no NUL in a name")
  .max(4096);
const text = z
  .string()
  .max(131_072)
  .regex(/^[^\0]*$/, "no NUL");

export const errorCode = z.enum(errorCodes);
export const apiError = z.object({
  code: errorCode,
  /** What failed, with the value and the limit. */
  message: z.string(),
  /** The next command to type. */
  hint: z.string().optional(),
  /** Several at once, e.g. every mistake of a template. */
  details: z.array(z.string()).optional(),
});
export const errorBody = z.object({ error: apiError });

export const resources = z.object({
  cpus: z.int().min(1).max(64),
  memoryMib: z.int().min(64).max(1_048_576),
  diskMib: z.int().min(64).max(16_777_216),
});

export const isolation = z.enum(["kvm", "emulated (jailed)", "emulated (not jailed)"]);
/** `removed` is only seen of one that is going. */
export const sandboxState = z.enum(sandboxStates);

export const exec = z.object({
  id: z.string(),
  sandbox: z.string(),
  argv: z.array(z.string()),
  cwd: z.string().nullable(),
  user: z.string().nullable(),
  tty: z.boolean(),
  state: z.enum(["starting", "running", "exited", "failed"]),
  startedAt: z.string(),
  endedAt: z.string().nullable(),
  exit: execExit.nullable(),
  /** The capture of its end, or why there is none though one was asked for. */
  captured: z.union([captureOutcome, z.object({ error: z.string() })]).nullable(),
  /** Why it could not be started, or was lost. */
  error: apiError.nullable(),
});

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
  /** null: nothing, as things are. */
  next: next.nullable(),
  /** Its hard end. */
  expiresAt: z.string().nullable(),
  execs: z.array(exec),
});

export const machineNeeds = z.object({
  runner: z.string(),
  build: z.string(),
  accelerator: z.enum(["kvm", "tcg"]),
  machine: z.string(),
  cpu: z.string(),
  kernel: z.string(),
  devices: z.string(),
});
export const filePart = z.object({
  name: z.string(),
  sizeBytes: z.int(),
  storedBytes: z.int(),
  sha256: z.string(),
});
/** What execs in a sandbox of this snapshot get by default. */
export const execDefaults = z.object({
  env: z.record(z.string(), z.string()),
  user: z.string(),
  workdir: z.string(),
});
export const snapshot = z.object({
  id: z.string(),
  tags: z.array(z.string()),
  template: z.string().nullable(),
  createdAt: z.string(),
  resources,
  needs: machineNeeds,
  defaults: execDefaults,
  parts: z.array(filePart),
  /** Bytes on disk, holes not counted. */
  storedBytes: z.int(),
  /** Sandboxes thawed from it that exist now. */
  usedBy: z.array(z.string()),
  /** Why it can't be thawed on this host; empty when it can. */
  incompatible: z.array(z.string()),
});

export const template = z.object({
  name: z.string(),
  description: z.string(),
  /** The tag a build gives, e.g. `node:24`. */
  tag: z.string(),
  from: z.string(),
  resources,
  /** The snapshot built from this very recipe, when there is one. */
  snapshot: z.string().nullable(),
});

export const source = z
  .object({
    /** A shipped template's name; built when absent. */
    template: z.string().max(64).optional(),
    /** A template's text, for templates that live in a client's files; built when absent. */
    recipe: z.string().max(262_144).optional(),
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
    "level and exact go with capture",
  );

/** At most a year. */
const lengthMs = z.int().min(1).max(31_536_000_000);
/** null: never, also when the host's default says otherwise. */
const timer = lengthMs.nullable().optional();

export const createRequest = z.object({
  /** Default: the template `base`. */
  source: source.default({}),
  name: sandboxName.optional(),
  labels: z.record(z.string().max(128), z.string().max(1024)).default({}),
  cpus: z.int().min(1).max(64).optional(),
  memoryMib: z.int().min(64).max(1_048_576).optional(),
  /** Hard end: removed this long after its creation. */
  ttlMs: timer,
  /** Paused when idle this long. */
  idleMs: timer,
  /** Frozen and stopped when paused this long, on hosts that can. */
  stopAfterMs: timer,
  /** Removed when stopped or failed this long. */
  removeAfterMs: timer,
  /** Wait in line this long when the host is full. */
  waitMs: lengthMs.optional(),
});

export const execRequest = z.object({
  /** Idempotency: a second request with the same id answers with the first one's exec. */
  id: z
    .string()
    .regex(/^[a-z0-9-]{1,40}$/)
    .optional(),
  argv: z.array(text).min(1).max(10_000),
  env: z.record(envName, text).default({}),
  cwd: text.optional(),
  user: z.string().max(128).optional(),
  tty: z.object({ rows: z.int().min(1).max(10_000), cols: z.int().min(1).max(10_000) }).optional(),
  stdin: z.boolean().default(false),
  timeoutMs: z.int().min(1).max(31_536_000_000).optional(),
  /** Which ends of it are captured. */
  capture: capturePolicy.optional(),
  /** Names of variables in `env` whose values nothing on disk may hold. */
  mask: z.array(envName).max(1000).optional(),
  /** Where it came from, for its capture's case file. */
  ci: ciContext.optional(),
  /** Keep the machine as it is before the command too, so that a capture of its end can be run again from there. */
  checkpoint: z.boolean().optional(),
});

/** First message of `/v1/run`: create, lease and exec over one connection. */
export const runRequest = z.object({
  create: createRequest,
  exec: execRequest,
  /** Wait for a `start` message after `created`, so that a workspace can be sent first. */
  hold: z.boolean().default(false),
  /** Keep the sandbox when the exec has ended. */
  keep: z.boolean().default(false),
  /** How long to wait for the client when its connection breaks, rather than is closed: for those that come over a network. */
  returnMs: z.int().min(0).max(60_000).default(0),
});

export const progress = z.object({
  type: z.literal("progress"),
  /** What the phase works on, e.g. `kernel 6.1.0-56` or `base`. */
  subject: z.string(),
  phase: z.string(),
  state: z.enum(["started", "done", "output"]),
  elapsedMs: z.number().optional(),
  /** A figure or a note when done; a line of output. */
  detail: z.string().optional(),
});

/** What the daemon says on channel 3. */
export const statusMessage = z.discriminatedUnion("type", [
  progress,
  z.object({ type: z.literal("created"), sandbox }),
  z.object({ type: z.literal("started"), exec }),
  /** Bytes of stdin the guest has taken: what a client that reconnects need not send again. */
  z.object({ type: z.literal("stdin"), offset: z.int() }),
  /** Output before `offset` is no longer kept. */
  z.object({ type: z.literal("dropped"), channel: z.enum(["out", "err"]), offset: z.int() }),
  /** An attach's beginning: where its output starts, where the scrollback ends, and whether the client writes. */
  z.object({
    type: z.literal("attached"),
    out: z.int(),
    err: z.int(),
    outEnd: z.int(),
    errEnd: z.int(),
    writer: z.boolean(),
    /** Who writes, when it is somebody else; what that client calls itself. */
    writtenBy: z.string().nullable(),
  }),
  /** Somebody took over; from here on this client watches. */
  z.object({ type: z.literal("writer-lost"), to: z.string() }),
  z.object({ type: z.literal("exit"), exec }),
  z.object({ type: z.literal("error"), error: apiError }),
]);

/** Records of channel 3 in an exec's log. `end`: all that was asked for has been sent. */
export const logStatus = z.discriminatedUnion("type", [
  z.object({ type: z.literal("from"), out: z.int(), err: z.int() }),
  z.object({ type: z.literal("dropped"), channel: z.enum(["out", "err"]), offset: z.int() }),
  z.object({ type: z.literal("end"), exec }),
  z.object({ type: z.literal("error"), error: apiError }),
]);

/** What a client says on channel 3. */
export const controlMessage = z.discriminatedUnion("type", [
  z.object({ type: z.literal("start") }),
  /** Absolute offsets of output dealt with: opts in to flow control. */
  z.object({ type: z.literal("ack"), out: z.int().min(0), err: z.int().min(0) }),
  z.object({ type: z.literal("signal"), signal: z.string().max(16) }),
]);
/** Channel 4. */
export const resizeMessage = z.object({
  Width: z.int().min(1).max(10_000),
  Height: z.int().min(1).max(10_000),
});

export const buildRequest = z
  .object({
    template: z.string().max(64).optional(),
    recipe: z.string().max(262_144).optional(),
    force: z.boolean().default(false),
  })
  .refine((b) => (b.template === undefined) !== (b.recipe === undefined), "give template or recipe");

export const freezeRequest = z.object({ tag });
export const forkRequest = z.object({
  count: z.int().min(1).max(100).default(1),
  /** Children are named PREFIX-1, PREFIX-2, …; default: by their ids. */
  name: sandboxName.max(36).optional(),
});

const partVerdict = z.object({ name: z.string(), ok: z.boolean(), reason: z.string().optional() });
export const levelVerdict = z.object({
  level: z.enum(levels),
  ok: z.boolean(),
  /** Why not. */
  reasons: z.array(z.string()),
  /** Of the capture's own parts, as they are stored. */
  bytes: z.int(),
});
export const capture = caseFile.extend({
  /** Of its own parts, compressed; its base is not counted. */
  storedBytes: z.int(),
  notes: captureNotes,
  /** The best level at which it can be replayed on this host. */
  replays: z.enum(levels).nullable(),
});
export const captureList = z.object({
  captures: z.array(capture),
  /** Those that are damaged, or of another version. */
  unreadable: z.array(z.object({ id: z.string(), reason: z.string() })),
});
/** State that could not be read: a record that is damaged, or of a newer version. */
export const quarantineEntry = z.object({
  id: z.string(),
  kind: z.string(),
  /** Its id, or the name of its file. */
  what: z.string(),
  reason: z.string(),
  at: z.string(),
  /** Where it was, or still is, relative to the state folder. */
  from: z.string(),
  /** False: it is still there. */
  moved: z.boolean(),
});
export const captureQuery = z.object({
  trigger: trigger.optional(),
  repository: z.string().max(1024).optional(),
  ref: z.string().max(1024).optional(),
  pr: z.string().max(1024).optional(),
  fingerprint: z.string().max(64).optional(),
  /** Only those taken within this many ms. */
  withinMs: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
});
const diskEntry = z.object({
  /** The guest's. */
  name: z.string(),
  type: z.enum(["file", "dir", "symlink", "fifo", "socket", "block", "char"]),
  size: z.number(),
  mode: z.int(),
  uid: z.int(),
  gid: z.int(),
});
/** Where a capture's files are read from: the machine as it was, thawed for it, or its disk. */
export const fileLevel = z.enum(["memory", "files"]);
/** What is at a path of a capture, and in it when it is a folder. */
export const diskListing = z.object({
  entry: diskEntry,
  entries: z.array(diskEntry),
  /** There are more entries than are told. */
  truncated: z.boolean(),
  level: fileLevel,
  /** Why it is not memory that was read; null when it is. */
  why: z.string().nullable(),
});
export const captureCheck = z.object({
  capture: z.string(),
  levels: z.array(levelVerdict),
  best: z.enum(levels).nullable(),
});
export const captureVerifyReport = z.object({
  capture: z.string(),
  ok: z.boolean(),
  parts: z.array(partVerdict),
  /** A trial thaw. */
  verified: captureNotes.shape.verified,
});
export const rerunRequest = z.object({
  count: z.int().min(1).max(1000).default(10),
  /** How many at a time. */
  jobs: z.int().min(1).max(64).default(2),
  /** Instead of the recorded command. */
  argv: z.array(text).min(1).max(10_000).optional(),
  /** Over the recorded environment; values that were secret are not in that. */
  env: z.record(envName, text).default({}),
});
export const rerunRun = z.object({
  number: z.int(),
  failed: z.boolean(),
  exit: execExit.nullable(),
  error: z.string().nullable(),
  /** Of a failure; alike for those of one cause. */
  fingerprint: z.string().nullable(),
  /** The capture kept of it: one for each new fingerprint. */
  capture: z.string().nullable(),
});
export const rerun = z.object({
  capture: z.string(),
  before: z.enum(["base", "workspace", "checkpoint"]),
  argv: z.array(z.string()),
  runs: z.array(rerunRun),
  failed: z.int(),
  verdict: z.enum(["flaky", "broken", "passes"]),
  /** Of the share that fails: Wilson's score interval at 95 %, from 0 to 1. */
  interval: z.tuple([z.number(), z.number()]),
});
export const pruneRequest = z.object({
  /** Only say what would go. */
  dryRun: z.boolean().default(false),
});
const removal = z.object({ id: z.string(), bytes: z.int(), reason: z.string() });
export const pruneReport = z.object({
  dryRun: z.boolean(),
  captures: z.array(removal),
  snapshots: z.array(removal),
  /** Parts of snapshots that were compressed to travel, by the beginning of their digest. */
  compressed: z.array(removal),
  /** Things that can't be read and may need any snapshot or capture: while they are there, nothing that they may need goes. */
  unreadable: z.array(z.string()).default([]),
});
const artifactKind = z.enum(["snapshot", "capture"]);
/** All that a client needs to carry a snapshot or a capture elsewhere. */
export const artifact = z.object({
  kind: artifactKind,
  id: z.string(),
  /** The text of its manifest, byte for byte. */
  manifest: z.string(),
  outline,
  /** As they travel: compressed. */
  parts: z.array(wirePart),
  /** A capture's base snapshot, which travels on its own. */
  base: z.string().nullable(),
});
export const importRequest = z.object({
  kind: artifactKind,
  manifest: z.string().max(MAX_MANIFEST_BYTES),
  parts: z.array(wirePart).max(64),
});
export const importState = z.object({
  /** Null: it is here already. */
  import: z.string().nullable(),
  kind: artifactKind,
  id: z.string(),
  /** Bytes that are here already, by part. */
  received: z.record(z.string(), z.int()),
});
export const importParams = z.object({ import: z.string().regex(/^[0-9a-f]{16}$/) });
export const importPartParams = importParams.extend({ name: wireName });
export const partQuery = z.object({
  from: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
});
/** How a capture leaves its host: without its memory; with what is said to be no secret here. */
export const publishRequest = z.object({
  diskOnly: z.boolean().optional(),
  /** Kinds of findings, e.g. `private-key`. What was masked can't be allowed. */
  allow: z.array(z.string().max(64)).max(64).optional(),
});
export const capturePartQuery = partQuery.extend({
  diskOnly: z.enum(["0", "1"]).default("0"),
  /** Separated by commas. */
  allow: z.string().max(4096).default(""),
});
/** What a store says of a capture, and of its base. */
export const outlineCheckRequest = z.object({ capture: outline, base: outline.nullable() });
export const outlineCheck = z.object({
  capture: z.string(),
  levels: z.array(levelVerdict),
  best: z.enum(levels).nullable(),
  /** Bytes to be fetched: its own, and its base's when that is not on this host. */
  downloadBytes: z.int(),
  /** What `push --full` where it is would change; null when nothing. */
  full: z.string().nullable(),
});
export const pinRequest = z.object({ pinned: z.boolean() });

/** Lines of an `application/x-ndjson` answer: progress and a rerun's runs, then one result or error. */
export const streamLine = z.union([
  progress,
  z.object({ type: z.literal("run"), run: rerunRun }),
  z.object({
    type: z.literal("result"),
    sandbox: sandbox.optional(),
    rerun: rerun.optional(),
    snapshot: snapshot.optional(),
    /** Of an import, or of a capture that was made whole. */
    capture: capture.optional(),
    /** Of an export. */
    artifact: artifact.optional(),
    /** Of a fork. */
    sandboxes: z.array(sandbox).optional(),
    /** Of a fork: `difference`, or `freeze` where the host can't take one. */
    method: z.enum(["difference", "freeze"]).optional(),
    /** Of a freeze or a fork: for how long the sandbox stood still. */
    pauseMs: z.number().optional(),
    /** Of a freeze: false when the sandbox had to be stopped to come to an end. */
    converged: z.boolean().optional(),
  }),
  z.object({ type: z.literal("error"), error: apiError }),
]);

export const probe = z.object({
  name: z.string(),
  state: z.enum(["ok", "warning", "missing"]),
  fatal: z.boolean(),
  detail: z.string(),
  hint: z.string().optional(),
});
export const doctorReport = z.object({ ready: z.boolean(), probes: z.array(probe) });

export const daemonInfo = z.object({
  version: z.string(),
  /** Digest of the installed bundle; another one means another build. */
  digest: z.string(),
  /** The host's name, for clients that came from another one. */
  host: z.string(),
  pid: z.int(),
  home: z.string(),
  startedAt: z.string(),
  sandboxes: z.int(),
  rssBytes: z.int(),
});

export const verifyReport = z.object({
  snapshot: z.string(),
  ok: z.boolean(),
  parts: z.array(partVerdict),
});

export const signalRequest = z.object({
  signal: z.string().max(16),
  to: z.enum(["group", "tree"]).default("group"),
});
export const tagRequest = z.object({ tag });
export const extendRequest = z.object({ byMs: lengthMs });
/** `KEY=VALUE`, or `KEY` with any value. */
export const labelSelector = z.string().min(1).max(1200);
export const waitQuery = z.object({
  for: z.enum(["stopped", "removed", "exec"]).default("stopped"),
  exec: z.string().max(64).optional(),
  timeoutMs: z.coerce.number().int().min(1).max(31_536_000_000).optional(),
});
export const waitResult = z.object({
  state: sandboxState,
  reason: z.string().nullable(),
  exec: exec.nullable(),
});
export const eventsQuery = z.object({
  /** Events after this id; without it, only what happens from now on (with `follow=0`: all that is kept). */
  since: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  /** A sandbox's id, name or unique prefix: its events and its execs'. */
  sandbox: z.string().max(200).optional(),
  /** `0`: end after what there is. */
  follow: z.enum(["0", "1"]).default("1"),
});
/** `1`: the client knows records of extended attributes, which older ones refuse. */
export const attributesFlag = z
  .enum(["0", "1"])
  .default("0")
  .transform((text) => text === "1");
export const fileEntry = z.object({
  path: z.string(),
  type: z.enum(["file", "dir", "symlink", "fifo", "socket", "block", "char"]),
  size: z.number(),
  mode: z.int(),
  mtimeNs: z.string(),
  uid: z.int(),
  gid: z.int(),
  target: z.string().optional(),
  nameBase64: z.string().optional(),
  /** Names of extended attributes, the first 1 KiB of them. Absent in a listing, and from an older agent. */
  attributes: z.array(z.string()).optional(),
});
export const machineStats = z.object({ pssBytes: z.int(), rssBytes: z.int(), cpuMs: z.number() });

export type Capture = z.infer<typeof capture>;
export type CaptureList = z.infer<typeof captureList>;
export type QuarantineEntry = z.infer<typeof quarantineEntry>;
export type DiskListing = z.infer<typeof diskListing>;
export type CaptureQuery = z.input<typeof captureQuery>;
export type CaptureCheck = z.infer<typeof captureCheck>;
export type Artifact = z.infer<typeof artifact>;
export type Outline = z.infer<typeof outline>;
export type OutlineCheck = z.infer<typeof outlineCheck>;
export type PublishRequest = z.infer<typeof publishRequest>;
export type ImportRequest = z.infer<typeof importRequest>;
export type ImportState = z.infer<typeof importState>;
export type CaptureVerifyReport = z.infer<typeof captureVerifyReport>;
export type PruneReport = z.infer<typeof pruneReport>;
export type CapturePolicy = z.infer<typeof capturePolicy>;
export type Rerun = z.infer<typeof rerun>;
export type RerunRun = z.infer<typeof rerunRun>;
export type RerunRequest = z.input<typeof rerunRequest>;
export type CiContext = z.infer<typeof ciContext>;
export type Event = z.infer<typeof event>;
export type Next = z.infer<typeof next>;
export type WaitResult = z.infer<typeof waitResult>;
export type ApiError = z.infer<typeof apiError>;
export type ErrorCode = z.infer<typeof errorCode>;
export type Resources = z.infer<typeof resources>;
export type Exec = z.infer<typeof exec>;
export type ExecExit = z.infer<typeof execExit>;
export type Sandbox = z.infer<typeof sandbox>;
export type Snapshot = z.infer<typeof snapshot>;
export type ExecDefaults = z.infer<typeof execDefaults>;
export type Template = z.infer<typeof template>;
export type CreateRequest = z.input<typeof createRequest>;
export type ExecRequest = z.input<typeof execRequest>;
export type RunRequest = z.input<typeof runRequest>;
export type BuildRequest = z.input<typeof buildRequest>;
export type FreezeRequest = z.input<typeof freezeRequest>;
export type ForkRequest = z.input<typeof forkRequest>;
export type Progress = z.infer<typeof progress>;
export type StatusMessage = z.infer<typeof statusMessage>;
export type LogStatus = z.infer<typeof logStatus>;
export type ControlMessage = z.infer<typeof controlMessage>;
export type StreamLine = z.infer<typeof streamLine>;
export type Probe = z.infer<typeof probe>;
export type DoctorReport = z.infer<typeof doctorReport>;
export type DaemonInfo = z.infer<typeof daemonInfo>;
export type VerifyReport = z.infer<typeof verifyReport>;
export type FileEntry = z.infer<typeof fileEntry>;
export type MachineStats = z.infer<typeof machineStats>;
