import { ThawError } from "../../client/errors.ts";
import { readTimers, type TimerFlags } from "../arguments/timers.ts";
import { withClient } from "../connect.ts";
import { printJson, writeOut } from "../output.ts";

export interface Changes {
  label: Readonly<Record<string, string>> | undefined;
  unlabel: readonly string[] | undefined;
  timers: TimerFlags;
}

/** `thaw set`: prints the sandbox's name. */
export async function set(
  name: string,
  { label, unlabel = [], timers }: Changes,
  { json }: { json: boolean },
): Promise<void> {
  const { waitMs: _, ...times } = readTimers(timers);
  const labels = { ...Object.fromEntries(unlabel.map((key) => [key, null])), ...label };
  const isLabelled = Object.keys(labels).length > 0;
  if (!isLabelled && Object.keys(times).length === 0)
    throw new ThawError("usage", "say what to change", {
      hint: `thaw set ${name} --idle 30m --label team=shop`,
    });
  const sandbox = await withClient((client) =>
    client.sandboxes.at(name).change({ ...times, ...(isLabelled ? { labels } : {}) }),
  );
  if (json) printJson(sandbox);
  else writeOut(`${sandbox.name}\n`);
}
