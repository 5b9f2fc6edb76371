/** Why a request failed, when its machine ended meanwhile. */
import { paced } from "../../host/pace.ts";
import { SessionError } from "../../runners/agent/errors.ts";
import { RunnerError } from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";
import type { SandboxRecord } from "./record.ts";
import { isOver } from "./state.ts";

/** Between a connection that breaks and the event that its machine has ended. */
const END_EVENT_WAIT_MS = 3_000;

/**
 * Returns why the sandbox was removed if it was, `machine-ended` if it is over, else the error itself.
 * @param of.change resolves with the sandbox's next change of state
 * @param of.removal why it is being removed
 */
export async function explainFailure(
  error: unknown,
  of: {
    record: SandboxRecord;
    removal: () => EngineError | null;
    change: (signal: AbortSignal) => Promise<unknown>;
  },
): Promise<unknown> {
  const { record, removal } = of;
  const { code } = error as { code?: unknown };
  const broken =
    (error instanceof SessionError && error.kind === "closed") ||
    code === "machine-ended" ||
    (error instanceof RunnerError && code === "machine-gone");
  if (broken && !isOver(record.state) && removal() === null)
    await of.change(AbortSignal.timeout(paced(END_EVENT_WAIT_MS))).catch(() => {});
  // Whoever waited hears the same of a removal, whenever it came and whatever failed of it first.
  const why = removal();
  if (why !== null) return new EngineError(why.code, why.message, { cause: error });
  const ours = error instanceof EngineError && code !== "conflict" && code !== "machine-ended";
  if (!isOver(record.state) || ours) return error;
  const { name, state, reason } = record;
  return new EngineError("machine-ended", `sandbox ${name} is ${state}: ${reason}`, { cause: error });
}
