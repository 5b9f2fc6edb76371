/** What is kept of an exec on disk. The values of its environment are not. */
import { z } from "zod";
import { errorCodes } from "../../api/error-codes.ts";
import { captureOutcome, capturePolicy, ciContext, execExit, execState } from "../../api/exec.ts";
import { recordKind } from "../state/record.ts";

export const execRecord = z.object({
  id: z.string(),
  sandbox: z.string(),
  argv: z.array(z.string()),
  envNames: z.array(z.string()),
  cwd: z.string().nullable(),
  user: z.string().nullable(),
  tty: z.boolean(),
  state: execState,
  startedAt: z.string(),
  endedAt: z.string().nullable(),
  /** When a running exec is ended with `timedOut`. */
  deadline: z.string().nullable(),
  timedOut: z.boolean(),
  exit: execExit.nullable(),
  /** Bytes of each channel at its end. */
  output: z
    .object({ out: z.int().min(0), err: z.int().min(0) })
    .nullable()
    .default(null),
  /** Which ends of it are captured. */
  capture: capturePolicy.default("never"),
  /** The capture of its end, or why there is none. */
  captured: z
    .union([captureOutcome, z.object({ error: z.string() })])
    .nullable()
    .default(null),
  /** The machine as it was before it is kept, for its capture. */
  checkpoint: z.boolean().default(false),
  /** Names of variables whose values are secret. */
  masked: z.array(z.string()).default([]),
  ci: ciContext.nullable().default(null),
  error: z.object({ code: z.enum(errorCodes), message: z.string(), hint: z.string().optional() }).nullable(),
});
export const execKind = recordKind("exec record", execRecord);
export type ExecRecord = z.infer<typeof execRecord>;
