import { defined } from "../../api/defined.ts";
import { findPaths, isNobodyThere, stopDaemon, ThawError } from "../../client/index.ts";
import { requireLocalContext, withClient } from "../connect.ts";
import { printJson, writeOut } from "../output.ts";

/** Removes every sandbox that has a machine. One without a daemon has to be found by one. @returns how many there were. */
async function stopMachines(): Promise<number> {
  return withClient(async (client) => {
    const live = (await client.sandboxes.list()).filter(
      ({ info: { state } }) => !["stopped", "failed", "removed"].includes(state),
    );
    for (const { id } of live)
      await client.sandboxes
        .at(id)
        .remove()
        .catch((error: unknown) => {
          if (!(error instanceof ThawError && error.code === "not-found")) throw error;
        });
    return live.length;
  });
}

/** `thaw daemon stop`: waits until it is gone. One that does not run is no failure. */
export async function stop(flags: { all?: boolean; json?: boolean }): Promise<void> {
  requireLocalContext("daemon stop");
  const machines = flags.all === true ? await stopMachines() : undefined;
  let stopped = true;
  try {
    await stopDaemon(findPaths());
  } catch (error) {
    if (!isNobodyThere(error)) throw error;
    stopped = false;
  }
  if (flags.json === true) printJson({ stopped, ...defined({ machines }) });
  else if (machines !== undefined)
    writeOut(`stopped, and ${machines} ${machines === 1 ? "machine" : "machines"} with it\n`);
  else writeOut(stopped ? "stopped; its machines go on\n" : "it was not running\n");
}
