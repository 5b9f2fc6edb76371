import { Option } from "commander";
import { parseSandboxName } from "../arguments/sandbox-name.ts";
import { addTimerFlags } from "../arguments/timers.ts";
import { addExecFlags } from "../exec-io/flags.ts";
import { addQuietFlag } from "../progress/quiet.ts";
import { addReadFlags } from "../travel/flags.ts";
import type { Define } from "../verbs.ts";
import type { ReplayFlags } from "./replay.ts";

export const define: Define = (command, exit) => {
  command
    .argument(
      "<capture>",
      "an id, a unique beginning of one, latest, or one in a store (oci:…, dir:…, a file)",
    )
    .argument("[command...]", "a command to run in it, behind -- (default: a shell)")
    .addOption(
      new Option(
        "--level <level>",
        "memory: it goes on where it stopped; disk: its disk is booted; files: list them (default: the best here)",
      ).choices(["memory", "disk", "files"]),
    )
    .option(
      "--core <file>",
      "write a core file instead: of the process that crashed, or of all memory after a panic",
    )
    .option("--exact", "keep the recorded entropy, clock and identity: two such replays are twins")
    .option("--name <name>", "the sandbox's name", parseSandboxName)
    .option("--keep", "keep the sandbox when the command has ended");
  addQuietFlag(addReadFlags(addTimerFlags(addExecFlags(command))))
    .addHelpText(
      "after",
      `
A replay is quarantined: it reaches nobody, it has no secrets, and it is somebody else's machine. Commands run in the failed one's folder,
with its environment.

Examples:
  $ thaw replay latest
  $ thaw replay fail-7k2qxz -- ps aux
  $ thaw replay latest --level files /var/log
  $ thaw replay latest --core ./core && gdb -c ./core
  $ thaw replay oci:registry.example/failures:fail-7k2qxz -- dmesg
  $ thaw replay latest --keep --name case && thaw fork case -n 3`,
    )
    .action(async (capture: string, argv: string[], flags: ReplayFlags) => {
      const { replay } = await import("./replay.ts");
      exit(await replay(capture, argv, flags));
    });
};
