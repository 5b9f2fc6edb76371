import { collectLabel } from "../arguments/label.ts";
import { addLifeFlags, type TimerFlags } from "../arguments/timers.ts";
import type { Define } from "../verbs.ts";

interface SetFlags extends TimerFlags {
  label?: Readonly<Record<string, string>>;
  unlabel?: readonly string[];
  json?: boolean;
}

export const define: Define = (command, exit) => {
  addLifeFlags(command.argument("<sandbox>", "its name, id, or the unique beginning of an id"))
    .option("--label <K=V>", "set a label (may be repeated)", collectLabel)
    .option("--unlabel <K>", "take a label away (may be repeated)", (key: string, before: string[] = []) => [
      ...before,
      key,
    ])
    .option("--json", "print the sandbox as JSON")
    .addHelpText(
      "after",
      "\nA duration of `never` switches a timer off. What is not named stays as it is.\n\nExample:\n  $ thaw set web --idle 30m --stop-after never --label team=shop",
    )
    .action(async (sandbox: string, { label, unlabel, json, ...timers }: SetFlags) => {
      const { set } = await import("./set.ts");
      await set(sandbox, { label, unlabel, timers }, { json: json === true });
      exit(0);
    });
};
