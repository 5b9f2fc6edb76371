/** Runs a command in a machine before it is paused as a spare, so that as much as possible of what a first command needs is ready. */
import type { ExecDefaults } from "../../api/machine.ts";
import { paced } from "../../host/pace.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import { EngineError } from "../errors.ts";
import { runGuestStep } from "./guest-step.ts";

const DEADLINE_MS = 20_000;
/** A second process is started by the first: a shell that only ends does not fork. It leaves nothing behind. */
const COMMAND = "/bin/true 2>/dev/null || true; :";

/** Runs a command as the template's user, where its commands run, if there is a shell. Throws when it does not end in time. */
export async function exercise(
  agent: Agent,
  { env, user, workdir }: ExecDefaults,
  signal: AbortSignal = new AbortController().signal,
): Promise<void> {
  const either = AbortSignal.any([signal, AbortSignal.timeout(paced(DEADLINE_MS))]);
  const step = { name: "exercise", run: COMMAND, env, user, cwd: workdir };
  await runGuestStep(agent, step, () => {}, either).catch((error: unknown) => {
    if (!(error instanceof EngineError && error.code === "build-failed")) throw error;
  });
}
