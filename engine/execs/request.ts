/** What a run's client says of it that a capture keeps. */
import { z } from "zod";
import { recordKind } from "../state/record.ts";

const shortText = z.string().max(1024);

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
  step: shortText.optional(),
  actor: shortText.optional(),
});
export type CiContext = z.infer<typeof ciContext>;

/** What is needed to run the command again. Values that were said to be secret are not in it. */
export const recordedRequest = z.strictObject({
  argv: z.array(z.string()).min(1).max(10_000),
  env: z.record(z.string(), z.string()),
  cwd: z.string().nullable(),
  user: z.string().nullable(),
  tty: z.boolean(),
  timeoutMs: z.number().nullable(),
});
export const requestKind = recordKind("recorded request", recordedRequest);
export type RecordedRequest = z.infer<typeof recordedRequest>;
