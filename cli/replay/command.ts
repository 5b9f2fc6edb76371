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
    .argument("[command...]", "a command to run in it, after -- (default: a shell)")
    .addOption(
      new Option(
        "--level <level>",
        "memory: resume the machine where it stopped; disk: boot its disk; files: only list its files (default: the best that works here)",
      ).choices(["memory", "disk", "files"]),
    )
    .option(
      "--core <file>",
      "write a core file, without a shell: of the crashed process, or of all memory after a kernel panic",
    )
    .option(
      "--exact",
      "keep the recorded entropy, clock and identity, so that two such replays start exactly alike",
    )
    .option("--name <name>", "the sandbox's name", parseSandboxName)
    .option("--keep", "keep the sandbox after the command has ended");
  addQuietFlag(addReadFlags(addTimerFlags(addExecFlags(command))))
    .addHelpText(
      "after",
      `
A replay is quarantined: it has no network and no secrets. Do not trust what runs in it. Commands run in the failed one's folder,
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
