import { z } from "zod";
import { captureNotes, caseFile } from "./case-file.ts";
import { REPLAY_LEVELS } from "./closed-lists.ts";
import { execExit, trigger } from "./exec.ts";
import { fileType } from "./guest.ts";
import { listEnd, pageQuery } from "./page.ts";
import { partVerdict } from "./snapshot.ts";
import { argument, envName, lengthMs, MAX_WORDS } from "./text.ts";

export const replayLevel = z.enum(REPLAY_LEVELS);
export const levelVerdict = z.object({
  level: replayLevel,
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
  replays: replayLevel.nullable(),
});
export const captureList = z.object({
  captures: z.array(capture),
  /** Those that are damaged, or of another version. */
  unreadable: z.array(z.object({ id: z.string(), reason: z.string() })),
  ...listEnd,
});
export const captureQuery = pageQuery.extend({
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
  type: fileType,
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
  best: replayLevel.nullable(),
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
  argv: z.array(argument).min(1).max(MAX_WORDS).optional(),
  /** Over the recorded environment; values that were secret are not in that. */
  env: z.record(envName, argument).default({}),
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
export const pinRequest = z.object({ pinned: z.boolean() });
export const retentionRequest = z.object({
  /** null: no other than the host's. */
  maxAgeMs: lengthMs.nullable(),
});

export type Capture = z.infer<typeof capture>;
export type CaptureList = z.infer<typeof captureList>;
export type CaptureQuery = z.input<typeof captureQuery>;
export type DiskListing = z.infer<typeof diskListing>;
export type CaptureCheck = z.infer<typeof captureCheck>;
export type CaptureVerifyReport = z.infer<typeof captureVerifyReport>;
export type RerunRequest = z.input<typeof rerunRequest>;
export type RerunRun = z.infer<typeof rerunRun>;
export type Rerun = z.infer<typeof rerun>;
