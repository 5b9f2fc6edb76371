/** How an exec came to its end. */
import { z } from "zod";

export const execExit = z.object({
  /** null when a signal ended it. */
  code: z.int().nullable(),
  signal: z.string().nullable(),
  oom: z.boolean(),
  timedOut: z.boolean(),
  durationMs: z.number(),
});
export type ExecExit = z.infer<typeof execExit>;
