/** What an exec learns of its capture. */
import type { Ending } from "./ending.ts";

/** What is known when the machine may go on. */
export interface Taken {
  id: string;
  changedBytes: number;
  pauseMs: number;
  fingerprint: string;
}

/** Taken of a machine that went on, before it is known whether the exec failed. */
export interface PendingCapture {
  confirm(ending: Ending): Promise<Taken>;
  discard(): Promise<void>;
}
