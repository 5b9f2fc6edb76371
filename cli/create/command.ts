import { parseCpus } from "../arguments/count.ts";
import { addForwardFlags } from "../arguments/forward.ts";
import { collectLabel } from "../arguments/label.ts";
import { parseMemory } from "../arguments/memory.ts";
import { addNetworkFlags } from "../arguments/network.ts";
import { projectFileOption } from "../arguments/project-file.ts";
import { parseSandboxName } from "../arguments/sandbox-name.ts";
import { addSourceFlags } from "../arguments/source.ts";
import { addTimerFlags } from "../arguments/timers.ts";
import { addQuietFlag } from "../progress/quiet.ts";
import type { Define } from "../verbs.ts";
import type { CreateFlags } from "./create.ts";

export const define: Define = (command, exit) => {
  addQuietFlag(
    addForwardFlags(
      addNetworkFlags(
        addTimerFlags(
          addSourceFlags(command)
            .addOption(projectFileOption())
            .option("--name <name>", "the sandbox's name", parseSandboxName)
            .option("-l, --label <K=V>", "a label (may be repeated)", collectLabel)
            .option("--cpus <n>", "processors", parseCpus)
            .option("-m, --memory <size>", "memory, e.g. 512M or 2G", parseMemory),
        ),
      ),
    ),
  )
    .option("--verbose", "show the output of builds")
    .option("--json", "print the sandbox as JSON")
    .addHelpText(
      "after",
      `
Examples:
  $ thaw create --template node --name web && thaw exec web -- node --version
  $ thaw create --name pr-412 --label repo=shop --idle 15m --ttl 1d`,
    )
    .action(async (flags: CreateFlags) => {
      const { create } = await import("./create.ts");
      await create(flags);
      exit(0);
    });
};
