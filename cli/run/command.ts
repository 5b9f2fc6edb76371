import { Option } from "commander";
import { parseCpus } from "../arguments/count.ts";
import { collectLabel } from "../arguments/label.ts";
import { parseMemory } from "../arguments/memory.ts";
import { parseSandboxName } from "../arguments/sandbox-name.ts";
import { addTimerFlags } from "../arguments/timers.ts";
import { addExecFlags } from "../exec-io/flags.ts";
import type { Define } from "../verbs.ts";
import type { RunFlags } from "./run.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<command...>", "the command and its arguments")
    .passThroughOptions()
    .addOption(
      new Option("--template <name|path>", "thaw this template, built when absent (default: base)").conflicts(
        "snapshot",
      ),
    )
    .option("--snapshot <tag|id>", "thaw this snapshot; it is never built")
    .option("--workspace <dir>", "copy this folder to /workspace and run there")
    .option("--no-ignore", "copy what git ignores as well")
    .option("--cpus <n>", "processors; other than the snapshot's are booted once and kept", parseCpus)
    .option("--memory <size>", "memory, e.g. 512M or 2G", parseMemory)
    .option("--name <name>", "the sandbox's name", parseSandboxName)
    .option("--label <K=V>", "a label (may be repeated)", collectLabel)
    .option("--keep", "keep the sandbox when the command has ended")
    .option("-v, --verbose", "show a build's output, and at the end how long things took");
  addTimerFlags(addExecFlags(command))
    .addHelpText(
      "after",
      `
The exit code is the command's own. 124: out of time, 125: thaw failed, 126: not executable, 127: not found.

Examples:
  $ thaw run -- uname -a
  $ thaw run --template python --workspace . -- pytest
  $ printf 'a\\nb\\n' | thaw run -i -- wc -l
  $ thaw run -it -- bash`,
    )
    .action(async (argv: string[], flags: RunFlags) => {
      const { run } = await import("./run.ts");
      exit(await run(argv, flags));
    });
};
