import { isNobodyThere } from "../../client/connection-error.ts";
import { findPaths } from "../../client/paths.ts";
import { stopDaemon } from "../../client/replace-daemon.ts";
import { requireLocalContext } from "../connect.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw daemon stop`: waits until it is gone. One that does not run is no failure. */
export async function stop(flags: { json?: boolean }): Promise<void> {
  requireLocalContext("daemon stop");
  let stopped = true;
  try {
    await stopDaemon(findPaths());
  } catch (error) {
    if (!isNobodyThere(error)) throw error;
    stopped = false;
  }
  if (flags.json === true) printJson({ stopped });
  else writeOut(stopped ? "stopped; its machines go on\n" : "it was not running\n");
}
