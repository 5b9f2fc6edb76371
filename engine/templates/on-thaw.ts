/** A template's `onThaw` commands: they run in each new clone before anything else may run in it. */
import { defined } from "../../api/defined.ts";
import type { ExecDefaults } from "../../api/machine.ts";
import { paced } from "../../host/pace.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import { EngineError } from "../errors.ts";
import { runGuestStep } from "./guest-step.ts";

/** The time that all commands together may take. */
const DEADLINE_MS = 60_000;

/** Throws `build-failed` with the last lines of the first command that fails, or of the one that runs when the time is up. */
export async function runOnThaw(
  agent: Agent,
  { onThaw = [], env }: ExecDefaults,
  signal: AbortSignal = new AbortController().signal,
): Promise<void> {
  if (onThaw.length === 0) return;
  const deadlineMs = paced(DEADLINE_MS);
  const late = AbortSignal.timeout(deadlineMs);
  const either = AbortSignal.any([signal, late]);
  for (const { name, run } of onThaw) {
    const lines: string[] = [];
    const keep = (line: string): void => void (lines.length < 40 && lines.push(line));
    try {
      either.throwIfAborted();
      await runGuestStep(agent, { name, run, env }, keep, either);
    } catch (error) {
      signal.throwIfAborted();
      if (late.aborted)
        throw new EngineError("build-failed", `onThaw did not end within ${deadlineMs / 1000} s: ${name}`, {
          details: lines,
        });
      if (!(error instanceof EngineError)) throw error;
      throw new EngineError(error.code, `onThaw: ${error.message}`, {
        ...defined({ details: error.details }),
        cause: error,
      });
    }
  }
}
