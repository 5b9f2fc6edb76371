/** The post step: removes what the main step could not. It runs always, also when the main step was killed. */
import { info, warning } from "@actions/core";
import { Thaw, ThawError } from "../client/index.ts";
import { readStepState } from "./state.ts";

/** A runner gives post steps five minutes after a cancel. */
const DEADLINE_MS = 200_000;

/** How long the daemon may take to keep a machine whose step was killed, and to remove it. */
const LEASE_END_MS = 60_000;

async function ignoreMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof ThawError && error.code === "not-found") return undefined;
    throw error;
  }
}

async function cleanUp(): Promise<void> {
  const state = readStepState();
  if (state === undefined || (state.fate === "leave" && state.over)) return;
  const signal = AbortSignal.timeout(DEADLINE_MS);
  await using client = new Thaw();
  const sandbox = await ignoreMissing(client.sandboxes.get(state.sandbox, { signal }));
  if (sandbox === undefined) return;
  if (state.exec !== undefined) {
    await ignoreMissing(sandbox.execAt(state.exec).kill({ signal }));
    return;
  }
  // The daemon is about to end it, and may be keeping the machine first.
  const wait = { signal, timeoutMs: LEASE_END_MS };
  if (sandbox.info.leased || sandbox.info.state === "removing")
    await ignoreMissing(sandbox.wait({ for: "removed" }, wait).catch(ignoreTimeout));
  await ignoreMissing(sandbox.remove({ signal }));
  info(`thaw: sandbox ${sandbox.name} was removed`);
}

function ignoreTimeout(error: unknown): void {
  if (!(error instanceof ThawError && error.code === "timeout")) throw error;
}

try {
  await cleanUp();
} catch (error) {
  // What the job did does not change by it; the sandbox ends with its lease or its time to live.
  warning(`thaw: the clean-up failed: ${(error as Error).message}`);
}
process.exit();
