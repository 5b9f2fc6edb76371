import { z } from "zod";
import { TRIGGERS } from "./closed-lists.ts";
import { apiError } from "./error.ts";
import { listEnd } from "./page.ts";
import { argument, envName, lengthMs, MAX_WORDS, requestId, shortText } from "./text.ts";

export const trigger = z.enum(TRIGGERS);

/** `on-failure`: all but `cancel`. `always`: all, and also a command that succeeded. */
export const capturePolicy = z.union([
  z.enum(["never", "on-failure", "always"]),
  z.array(trigger.exclude(["manual"])).max(TRIGGERS.length),
]);

/** How an exec came to its end. */
export const execExit = z.object({
  /** null when a signal ended it. */
  code: z.int().nullable(),
  signal: z.string().nullable(),
  oom: z.boolean(),
  timedOut: z.boolean(),
  durationMs: z.number(),
});

export const captureOutcome = z.object({ id: z.string(), changedBytes: z.number(), pauseMs: z.number() });

export const execState = z.enum(["starting", "running", "exited", "failed"]);

export const exec = z.object({
  id: z.string(),
  sandbox: z.string(),
  /** The beginning of it, where it is long: 16,384 characters. */
  argv: z.array(z.string()),
  cwd: z.string().nullable(),
  user: z.string().nullable(),
  tty: z.boolean(),
  state: execState,
  startedAt: z.string(),
  endedAt: z.string().nullable(),
  exit: execExit.nullable(),
  /** The capture of its end, or why there is none though one was asked for. */
  captured: z.union([captureOutcome, z.object({ error: z.string() })]).nullable(),
  /** Why it could not be started, or was lost. */
  error: apiError.nullable(),
});

/** Where a run came from, as far as its client knew. All of it is somebody else's text. */
export const ciContext = z.strictObject({
  repository: shortText.optional(),
  sha: shortText.optional(),
  ref: shortText.optional(),
  /** Number of the pull request. */
  pr: shortText.optional(),
  workflow: shortText.optional(),
  runId: shortText.optional(),
  attempt: shortText.optional(),
  job: shortText.optional(),
  /** The values of the job's matrix, as `NAME=VALUE, …`. */
  matrix: shortText.optional(),
  step: shortText.optional(),
  actor: shortText.optional(),
});

export const execRequest = z.object({
  /** Idempotency: a second request with the same id answers with the first one's exec. */
  id: requestId.optional(),
  argv: z.array(argument).min(1).max(MAX_WORDS),
  env: z.record(envName, argument).default({}),
  cwd: argument.optional(),
  user: z.string().max(128).optional(),
  tty: z.object({ rows: z.int().min(1).max(10_000), cols: z.int().min(1).max(10_000) }).optional(),
  stdin: z.boolean().default(false),
  timeoutMs: lengthMs.optional(),
  /** Which ends of it are captured. */
  capture: capturePolicy.optional(),
  /** Names of variables in `env` whose values nothing on disk may hold. */
  mask: z.array(envName).max(1000).optional(),
  /** Where it came from, for its capture's case file. */
  ci: ciContext.optional(),
  /** Keep the machine as it is before the command too, so that a capture of its end can be run again from there. */
  checkpoint: z.boolean().optional(),
});

/** Default and greatest number of bytes of each channel that a command run in one call answers with. */
export const OUTPUT_BYTES = { default: 1 << 20, most: 16 << 20 } as const;

/** A command that is run to its end in one call. */
export const runOnceRequest = execRequest.omit({ tty: true, stdin: true }).extend({
  /** Output of each channel beyond this is left out. */
  maxOutputBytes: z.int().min(0).max(OUTPUT_BYTES.most).default(OUTPUT_BYTES.default),
});
export const execResult = z.object({
  /** The command's own; 128 + n when signal n ended it; 124 when it ran out of time. */
  exitCode: z.int(),
  /** UTF-8; other bytes become U+FFFD. */
  stdout: z.string(),
  stderr: z.string(),
  /** There was more output than the answer has. */
  truncated: z.boolean(),
  exec,
});
export const execList = z.object({ execs: z.array(exec), ...listEnd });

export const signalRequest = z.object({
  signal: z.string().max(16),
  to: z.enum(["group", "tree"]).default("group"),
});

export type CapturePolicy = z.infer<typeof capturePolicy>;
export type ExecExit = z.infer<typeof execExit>;
export type Exec = z.infer<typeof exec>;
export type CiContext = z.infer<typeof ciContext>;
export type ExecRequest = z.input<typeof execRequest>;
export type RunOnceRequest = z.input<typeof runOnceRequest>;
export type ExecList = z.infer<typeof execList>;
export type ExecResult = z.infer<typeof execResult>;
