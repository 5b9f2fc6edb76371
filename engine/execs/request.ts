/** What a capture keeps of the request that failed. */
import { z } from "zod";
import { MAX_WORDS } from "../../api/text.ts";
import { recordKind } from "../state/record.ts";

/** What is needed to run the command again. Values that were said to be secret are not in it. */
export const recordedRequest = z.strictObject({
  argv: z.array(z.string()).min(1).max(MAX_WORDS),
  env: z.record(z.string(), z.string()),
  cwd: z.string().nullable(),
  user: z.string().nullable(),
  tty: z.boolean(),
  timeoutMs: z.number().nullable(),
});
export const requestKind = recordKind("recorded request", recordedRequest);
export type RecordedRequest = z.infer<typeof recordedRequest>;
