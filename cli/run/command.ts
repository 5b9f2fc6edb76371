import { Option } from "commander";
import { parseCpus } from "../arguments/count.ts";
import { addForwardFlags } from "../arguments/forward.ts";
import { collectLabel } from "../arguments/label.ts";
import { parseMemory } from "../arguments/memory.ts";
import { addNetworkFlags } from "../arguments/network.ts";
import { projectFileOption } from "../arguments/project-file.ts";
import { parseSandboxName } from "../arguments/sandbox-name.ts";
import { addTimerFlags } from "../arguments/timers.ts";
import { addExecFlags } from "../exec-io/flags.ts";
import type { Define } from "../verbs.ts";
import type { RunFlags } from "./run.ts";
import { needsDashes, splitWords } from "./words.ts";

export const define: Define = (command, exit, words) => {
  command
    .usage("[options] [NAME] [-- COMMAND...]")
    .argument("[words...]", "a run of the project file; behind --, a command and its arguments")
    .exitOverride((error) => {
      if (error.code !== "commander.unknownOption" || words.includes("--")) throw error;
      const [first = "", suggestion] = error.message.replace(/^error: /, "").split("\n");
      throw suggestion === undefined ? needsDashes(first, words.slice(1)) : error;
    })
    .addOption(projectFileOption())
    .option("-l, --list", "list the runs of the project file")
    .addOption(
      new Option("--template <name|path>", "thaw this template, built when absent (default: base)").conflicts(
        "snapshot",
      ),
    )
    .option(
      "--snapshot <tag|id|store>",
      "thaw this snapshot; it is never built, but fetched from a store (oci:…, dir:…)",
    )
    .option("--workspace <dir>", "copy this folder to /workspace and run there")
    .option("--no-ignore", "copy what git ignores as well")
    .option("--cpus <n>", "processors; other than the snapshot's are booted once and kept", parseCpus)
    .option("--memory <size>", "memory, e.g. 512M or 2G", parseMemory)
    .option("--name <name>", "the sandbox's name", parseSandboxName)
    .option("--label <K=V>", "a label (may be repeated)", collectLabel)
    .option("--keep", "keep the sandbox when the command has ended")
    .option("-v, --verbose", "show a build's output, and at the end how long things took");
  addForwardFlags(addNetworkFlags(addTimerFlags(addExecFlags(command))))
    .addHelpText(
      "after",
      `
The exit code is the command's own. 124: out of time, 125: thaw failed, 126: not executable, 127: not found.

Examples:
  $ thaw run -- uname -a
  $ thaw run test                     # the run \`test\` of thaw.yaml
  $ thaw run test --cpus 4 -- npm run lint
  $ thaw run --template python --workspace . -- pytest
  $ printf 'a\\nb\\n' | thaw run -i -- wc -l
  $ thaw run --allow @npm --allow api.example.com -- npm test
  $ thaw run -it -- bash`,
    )
    .action(async (operands: string[], flags: RunFlags) => {
      if (flags.list === true) {
        const { list } = await import("./list.ts");
        await list(flags);
        exit(0);
        return;
      }
      const { run } = await import("./run.ts");
      exit(await run(splitWords(operands, words), flags));
    });
};
