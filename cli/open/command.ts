import { type Command, InvalidArgumentError, Option } from "commander";
import { parseSandboxName } from "../arguments/sandbox-name.ts";
import { addTimerFlags } from "../arguments/timers.ts";
import { addExecFlags } from "../exec-io/flags.ts";
import { addReadFlags } from "../travel/flags.ts";
import type { Define } from "../verbs.ts";
import type { OpenFlags } from "./open.ts";
import { parseRun } from "./run-argument.ts";

function parsePr(text: string): number {
  const number = /^#?([1-9]\d{0,9})$/.exec(text)?.[1];
  if (number === undefined) throw new InvalidArgumentError("a pull request's number, such as 123.");
  return Number(number);
}

function addTargetFlags(command: Command): Command {
  return command
    .argument("[command...]", "a command to run in it, after -- (default: a shell)")
    .addOption(
      new Option("--pr <number>", "the newest failed run of this pull request")
        .argParser(parsePr)
        .conflicts("run"),
    )
    .addOption(new Option("--run <run>", "this run: its number or its address on GitHub").argParser(parseRun))
    .option("--job <name>", "this job of the run: its name, or a part of it that fits only one failed job")
    .option("--id <capture>", "this capture of the run (default: the first capture of a failed job)")
    .option("--repo <owner/name>", "this repository (default: the checkout's remote)")
    .option("--list", "only list failed runs and their captures")
    .addOption(
      new Option("--level <level>", "as for thaw replay (default: the best here)").choices([
        "memory",
        "disk",
        "files",
      ]),
    )
    .option("--name <name>", "the sandbox's name", parseSandboxName)
    .option("--keep", "keep the sandbox after the command has ended");
}

export const define: Define = (command, exit) => {
  addReadFlags(addTimerFlags(addExecFlags(addTargetFlags(command))))
    .addHelpText(
      "after",
      `
In a checkout, finds the branch's pull request, its newest failed run, and the capture of a failed job; then fetches and replays
the capture. The token comes from GH_TOKEN or GITHUB_TOKEN, gh, or git's credential helper; public repositories need none. GITHUB_API_URL sets
the API of a GitHub Enterprise Server.

Examples:
  $ thaw open
  $ thaw open --pr 123 -- ps aux
  $ thaw open --run https://github.com/acme/shop/actions/runs/8812 --job test
  $ thaw open --list`,
    )
    .action(async (argv: string[], flags: OpenFlags) => {
      if (flags.list === true) {
        const { list } = await import("./list.ts");
        await list(flags);
        exit(0);
        return;
      }
      const { open } = await import("./open.ts");
      exit(await open(argv, flags));
    });
};
