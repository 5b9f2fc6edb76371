import { type ExecInfo, type Thaw, ThawError } from "../../client/index.ts";
import { type DetachKeys, defaultDetachKeys } from "../arguments/detach-keys.ts";
import { withClient } from "../connect.ts";
import { conductExec } from "../exec-io/conduct.ts";
import { reportEnd, sayLeft } from "../exec-io/end.ts";
import { findExec } from "../exec-io/find-exec.ts";
import { nameOurselves } from "../exec-io/own-name.ts";

/** What a newcomer is shown of the past. */
export const SCROLLBACK_BYTES = 256 * 1024;

/** Flags of `thaw attach`. */
export interface AttachFlags {
  takeover?: boolean;
  watch?: boolean;
  interactive?: boolean;
  detachKeys?: DetachKeys;
  json?: boolean;
}

/** Joins an exec until it ends or the user leaves. @returns undefined when they left. */
export async function joinExec(
  client: Thaw,
  exec: ExecInfo,
  flags: AttachFlags,
): Promise<ExecInfo | undefined> {
  const interactive = process.stdin.isTTY === true || flags.interactive === true;
  const how = {
    ...{ as: nameOurselves(), scrollback: SCROLLBACK_BYTES },
    ...{ stdin: flags.watch !== true, takeover: flags.takeover === true },
  };
  return conductExec(
    { tty: exec.tty, interactive },
    {
      open: (handlers) =>
        client.sandboxes
          .at(exec.sandbox)
          .execAt(exec.id)
          .attach({ ...how, ...handlers }),
      detachKeys: flags.detachKeys ?? defaultDetachKeys,
      outlives: true,
      watch: flags.watch === true,
    },
  );
}

/** `thaw attach`. @returns the command's exit code, or thaw's; 0 when the user left. */
export async function attach(
  sandbox: string,
  reference: string | undefined,
  flags: AttachFlags,
): Promise<number> {
  if (flags.watch === true && flags.takeover === true)
    throw new ThawError("usage", "--watch and --takeover exclude each other", { hint: "leave one out" });
  return withClient(async (client) => {
    const { info: found } = await client.sandboxes.get(sandbox);
    const wanted = ({ state }: ExecInfo): boolean => state === "starting" || state === "running";
    const exec = findExec(found, reference, { wanted, what: "exec that runs" });
    const ended = await joinExec(client, exec, flags);
    if (ended === undefined) sayLeft(found.name, exec);
    return reportEnd(ended, flags);
  });
}
