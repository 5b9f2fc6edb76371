import { ThawError } from "../../client/index.ts";
import { parseCpus } from "../arguments/count.ts";
import { addForwardFlags } from "../arguments/forward.ts";
import { collectLabel } from "../arguments/label.ts";
import { parseMemory } from "../arguments/memory.ts";
import { addNetworkFlags } from "../arguments/network.ts";
import { projectFileOption } from "../arguments/project-file.ts";
import { parseSandboxName } from "../arguments/sandbox-name.ts";
import { addSourceFlags } from "../arguments/source.ts";
import { addTimerFlags } from "../arguments/timers.ts";
import { addExecFlags } from "../exec-io/flags.ts";
import { addQuietFlag } from "../progress/quiet.ts";
import type { Define } from "../verbs.ts";
import type { RunFlags } from "./run.ts";
import { needsDashes, splitWords } from "./words.ts";

export const define: Define = (command, exit, words) => {
  addSourceFlags(
    command
      .usage("[options] [NAME] [-- COMMAND...]")
      .argument(
        "[words...]",
        "the name of a run in the project file, or -- followed by a command and its arguments",
      )
      .exitOverride((error) => {
        // In `thaw run ls -la` the flags were meant for ls.
        const meantForCommand =
          error.code === "commander.invalidArgument" && words[1]?.startsWith("-") === false;
        if (words.includes("--") || !(error.code === "commander.unknownOption" || meantForCommand))
          throw error;
        const [first = "", suggestion] = error.message.replace(/^error: /, "").split("\n");
        throw suggestion === undefined ? needsDashes(first, words.slice(1)) : error;
      })
      .addOption(projectFileOption())
      .option("--list", "list the runs of the project file"),
  )
    .option("--workspace <dir>", "copy this folder to /workspace and run the command there")
    .option("--no-ignore", "also copy files that git ignores")
    .option(
      "--cpus <n>",
      "number of processors; a number other than the snapshot's is booted once and then kept as a snapshot",
      parseCpus,
    )
    .option("-m, --memory <size>", "memory, e.g. 512M or 2G", parseMemory)
    .option("--name <name>", "the sandbox's name", parseSandboxName)
    .option("-l, --label <K=V>", "a label (may be repeated)", collectLabel)
    .option("-d, --detach", "start the command, print the sandbox's name and exit; the sandbox stays")
    .option("--rm", "remove the sandbox at the end; this is the default")
    .option("--keep", "keep the sandbox after the command has ended")
    .option("--verbose", "show the output of builds, and at the end how long each step took");
  addQuietFlag(addForwardFlags(addNetworkFlags(addTimerFlags(addExecFlags(command)))))
    .addHelpText(
      "after",
      `
The sandbox is removed when the command ends, and when this client is killed (SIGKILL, a lost connection). In the second case
a capture is taken first if --capture asks for it. With --keep the sandbox stays after the command has ended.
The exit code is the command's own. 124: timed out, 125: thaw failed, 126: not executable, 127: not found.

Examples:
  $ thaw run -- uname -a
  $ thaw run test                     # the run \`test\` of thaw.yaml
  $ thaw run test --cpus 4 -- npm run lint
  $ thaw run --template python --workspace . -- pytest
  $ printf 'a\\nb\\n' | thaw run -i -- wc -l
  $ thaw run --allow @npm --allow api.example.com -- npm test
  $ thaw run -it -- bash
  $ thaw run -d --name job -- make    # then: thaw logs -f job; thaw rm job`,
    )
    .action(async (operands: string[], flags: RunFlags) => {
      if (flags.list === true) {
        if (operands.length > 0)
          throw new ThawError("usage", "--list can't be used with a run or a command", {
            hint: "thaw run --list; thaw run NAME",
          });
        const { list } = await import("./list.ts");
        await list(flags);
        exit(0);
        return;
      }
      if (flags.rm === true && (flags.keep === true || flags.detach === true))
        throw new ThawError("usage", `--rm does not go with ${flags.keep === true ? "--keep" : "-d"}`, {
          hint: "to remove a sandbox started with -d: thaw rm, or --ttl",
        });
      if (flags.detach === true) {
        const { runDetached } = await import("./detached.ts");
        exit(await runDetached(splitWords(operands, words), flags));
        return;
      }
      const { run } = await import("./run.ts");
      exit(await run(splitWords(operands, words), flags));
    });
};
