/** The post step: removes what the main step could not. It runs always, also when the main step was killed. */
import { info, warning } from "@actions/core";
import { Thaw, ThawError } from "../client/index.ts";
import { readStepState } from "./state.ts";

/** A runner gives post steps five minutes after a cancel. */
const DEADLINE_MS = 200_000;

async function ignoreMissing(work: Promise<unknown>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!(error instanceof ThawError && error.code === "not-found")) throw error;
  });
}

async function cleanUp(): Promise<void> {
  const state = readStepState();
  if (state === undefined) return;
  const signal = AbortSignal.timeout(DEADLINE_MS);
  // Where there is no daemon, there is nothing that one could remove but what the next one finds.
  await using client = new Thaw();
  const sandbox = client.sandboxes.at(state.sandbox);
  if (state.exec !== undefined && !state.over)
    await ignoreMissing(sandbox.execAt(state.exec).kill({ signal }));
  if (state.fate === "remove" || !state.over) {
    if (state.exec !== undefined) return;
    await ignoreMissing(sandbox.remove({ signal }));
    info(`thaw: sandbox ${state.sandbox} is removed`);
  }
}

try {
  await cleanUp();
} catch (error) {
  // What the job did does not change by it; the sandbox ends with its lease or its time to live.
  warning(`thaw: the clean-up failed: ${(error as Error).message}`);
}
process.exit();
