/** What makes a capture: how an exec, or its machine, came to its end. */
import type { Trigger } from "../../api/closed-lists.ts";
import type { CapturePolicy, ExecExit } from "../../api/exec.ts";

/** An end, or for a timeout what is about to become one. */
export interface Ending {
  trigger: Trigger;
  /** null as long as the program lives. */
  exit: ExecExit | null;
}

export function wantsCapture(policy: CapturePolicy, { trigger: asked, exit }: Ending): boolean {
  if (asked === "manual" || policy === "always") return true;
  if (policy === "never" || (asked === "exit" && exit?.code === 0)) return false;
  return policy === "on-failure" ? asked !== "cancel" : policy.includes(asked);
}

/** Whether processes that crash are to be held for their capture. */
export function holdsCrashes(policy: CapturePolicy): boolean {
  return policy === "on-failure" || policy === "always" || (policy !== "never" && policy.includes("signal"));
}

/** @param interrupted a client has sent it a signal that ends programs */
export function endingOf(exit: ExecExit, interrupted: boolean): Ending {
  if (exit.timedOut) return { trigger: "timeout", exit };
  if (exit.oom) return { trigger: "oom", exit };
  if (interrupted) return { trigger: "cancel", exit };
  return { trigger: exit.signal === null ? "exit" : "signal", exit };
}
