/** Waiting for what becomes of a sandbox or of an exec in it. */
import { once } from "node:events";
import { EngineError } from "../errors.ts";
import type { Sandbox } from "./sandbox.ts";
import { isOver } from "./state.ts";

export interface WaitFor {
  /** `stopped`: its machine is over, whatever way. `removed`: nothing is left of it. `exec`: that exec has ended. */
  for: "stopped" | "removed" | "exec";
  exec?: string | undefined;
}

/** Resolves when it is so. Rejects with the signal's reason. */
export async function waitFor(sandbox: Sandbox, what: WaitFor, signal: AbortSignal): Promise<void> {
  if (what.for === "exec") {
    const exec = sandbox.execs.get(what.exec ?? "");
    if (!exec) throw new EngineError("not-found", `sandbox ${sandbox.record.name} has no exec ${what.exec}`);
    return exec.ended(signal);
  }
  while (what.for === "stopped" && !isOver(sandbox.record.state))
    await once(sandbox, "transition", { signal });
  while (what.for === "removed" && !sandbox.isGone) await once(sandbox, "gone", { signal });
}
