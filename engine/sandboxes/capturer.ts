/** What a sandbox needs of the part that takes captures. */
import type { Crash } from "../../runners/agent/messages.ts";
import type { Ending } from "../execs/ending.ts";
import type { Exec } from "../execs/exec.ts";
import type { PendingCapture, Taken } from "../execs/taken.ts";
import type { Subject } from "./subject.ts";

/** Why a capture is taken. */
export interface Cause {
  ending: Ending;
  exec: Exec | null;
  crash?: Crash | null;
  /** Last lines of the guest's console, after a panic. */
  console?: string[];
  /** Id of the client's request, kept with the capture. */
  request?: string | undefined;
  /** Nobody wants the capture any more: what was frozen is thrown away. */
  signal?: AbortSignal | undefined;
}

export interface Capturer {
  /** Finds out ahead of need whether this host can take differences. */
  prepare(sandbox: Subject): void;
  take(sandbox: Subject, cause: Cause): Promise<Taken>;
  checkpoint(sandbox: Subject): Promise<void>;
  /** Of a process that the guest's kernel holds. Nothing is stored before it is confirmed. */
  takeProvisional(sandbox: Subject, cause: Cause): Promise<PendingCapture>;
}
