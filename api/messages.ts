/** Messages of the channels, the logs and the ndjson answers. docs/API.md says when each is sent. */
import { z } from "zod";
import { capture, rerun, rerunRun } from "./capture.ts";
import { apiError } from "./error.ts";
import { exec, execRequest } from "./exec.ts";
import { networkSummary } from "./network.ts";
import { createRequest, sandbox } from "./sandbox.ts";
import { snapshot } from "./snapshot.ts";
import { artifact, pushed } from "./travel.ts";

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
  /** `denied`: of a run, what its sandbox was kept from. */
  z.object({ type: z.literal("exit"), exec, denied: z.array(networkSummary).optional() }),
  z.object({ type: z.literal("error"), error: apiError }),
]);

/** Offsets of an exec's output, of each channel. */
export const logPosition = z.object({ out: z.int(), err: z.int() });

/** Records of channel 3 in an exec's log. `end`: all that was asked for has been sent. */
export const logStatus = z.discriminatedUnion("type", [
  /** `end`: how far it goes, unless it is followed. */
  logPosition.extend({ type: z.literal("from"), end: logPosition.optional() }),
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
    /** Of a push by the daemon. */
    pushed: pushed.optional(),
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

export type RunRequest = z.input<typeof runRequest>;
export type Progress = z.infer<typeof progress>;
export type StatusMessage = z.infer<typeof statusMessage>;
export type LogPosition = z.infer<typeof logPosition>;
export type LogStatus = z.infer<typeof logStatus>;
export type ControlMessage = z.infer<typeof controlMessage>;
export type StreamLine = z.infer<typeof streamLine>;
