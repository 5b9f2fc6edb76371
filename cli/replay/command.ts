import { Option } from "commander";
import { parseSandboxName } from "../arguments/sandbox-name.ts";
import { addTimerFlags } from "../arguments/timers.ts";
import { addExecFlags } from "../exec-io/flags.ts";
import type { Define } from "../verbs.ts";
import type { ReplayFlags } from "./replay.ts";

export const define: Define = (command, exit, words) => {
  command
    .argument("<capture>", "an id, a unique beginning of one, or latest")
    .argument("[command...]", "a command to run in it (default: a shell)")
    // with a -- flags may stand on either side of the capture; without one, what follows it is the command's
    .passThroughOptions(!words.includes("--"))
    .addOption(
      new Option(
        "--level <level>",
        "memory: it goes on where it stopped; disk: its disk is booted (default: the best here)",
      ).choices(["memory", "disk"]),
    )
    .option("--exact", "keep the recorded entropy, clock and identity: two such replays are twins")
    .option("--name <name>", "the sandbox's name", parseSandboxName)
    .option("--keep", "keep the sandbox when the command has ended");
  addTimerFlags(addExecFlags(command))
    .addHelpText(
      "after",
      `
A replay is quarantined: it reaches nobody, it has no secrets, and it is somebody else's machine. Commands run in the failed one's folder,
with its environment.

Examples:
  $ thaw replay latest
  $ thaw replay fail-7k2qxz -- ps aux
  $ thaw replay latest --keep --name case && thaw fork case -n 3`,
    )
    .action(async (capture: string, argv: string[], flags: ReplayFlags) => {
      const { replay } = await import("./replay.ts");
      exit(await replay(capture, argv, flags));
    });
};
