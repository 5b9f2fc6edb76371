import { Option } from "commander";
import { parseDuration } from "../arguments/duration.ts";
import { addTravelCommands } from "../travel/commands.ts";
import { addReadFlags, type ReadFlags } from "../travel/flags.ts";
import type { Define } from "../verbs.ts";
import type { DiffFlags } from "./diff.ts";
import type { ListFlags } from "./list.ts";

type JsonFlag = { json?: boolean };
const REFERENCE = "an id, a unique beginning of one, or latest";

export const define: Define = (command, exit) => {
  command.addHelpText("after", "\nExample:\n  $ thaw capture ls && thaw replay latest");
  command
    .command("ls")
    .description("list captures, newest first")
    .addOption(
      new Option("--trigger <trigger>", "only captures with this trigger").choices([
        ...["exit", "signal", "timeout", "oom", "panic", "cancel", "manual"],
      ]),
    )
    .option("--repo <owner/name>", "only captures of this repository")
    .option("--branch <name>", "only captures of this branch or tag")
    .option("--pr <number>", "only captures of this pull request")
    .option("--fingerprint <hex>", "only captures of the same failure, by its fingerprint")
    .option("--since <duration>", "only captures that are at most this old: 10m, 2h, 3d", parseDuration)
    .option("-q, --quiet", "print ids only")
    .option("--json", "print the captures as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw capture ls --repo acme/shop --since 24h")
    .action(async (flags: ListFlags) => {
      const { list } = await import("./list.ts");
      await list(flags);
      exit(0);
    });
  command
    .command("show")
    .description(
      "show a capture's case file: the command, how it ended, and the machine's processes and connections",
    )
    .argument("<capture>", REFERENCE)
    .option("--json", "print it as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw capture show latest")
    .action(async (capture: string, flags: JsonFlag) => {
      const { show } = await import("./show.ts");
      await show(capture, flags);
      exit(0);
    });
  addReadFlags(
    command
      .command("check")
      .description(
        "show at which level a capture can be replayed here (memory, disk, files), and why not at a higher one",
      )
      .argument("<capture>", `${REFERENCE}; or one in a store: oci:HOST/REPOSITORY:TAG, dir:PATH, a file`)
      .option("--json", "print it as JSON"),
  )
    .addHelpText(
      "after",
      `
For a capture in a store, only its outline is read; nothing is fetched. The exit code is 1 if it can't be replayed at all.

Examples:
  $ thaw capture check latest
  $ thaw capture check oci:registry.example/failures:fail-7k2qxz`,
    )
    .action(async (capture: string, flags: JsonFlag & ReadFlags) => {
      const { check } = await import("./check.ts");
      exit(await check(capture, flags));
    });
  command
    .command("diff")
    .description("compare two captures: command, output, exit, processes, ports, network, files")
    .argument("<capture>", REFERENCE)
    .argument(
      "[other]",
      "another capture (default: the newest capture of the same command, if possible of a successful run)",
    )
    .option("--files <path>", "also compare the files at and below this path")
    .option("--json", "print the comparison as JSON")
    .addHelpText(
      "after",
      `
Lines with - are only in the first capture, lines with + only in the second; » marks the first difference. Numbers, addresses and similar
values that change with every run are ignored. The exit code is 1 if the captures differ.

Examples:
  $ thaw capture diff latest
  $ thaw capture diff fail-7k2qxz fail-5c0dab --files /workspace`,
    )
    .action(async (capture: string, other: string | undefined, flags: DiffFlags) => {
      const { diff } = await import("./diff.ts");
      exit(await diff(capture, other, flags));
    });
  command
    .command("verify")
    .description("compare every part with its digest, and thaw the machine as a test")
    .argument("<capture>", REFERENCE)
    .option("--json", "print the report as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw capture verify latest")
    .action(async (capture: string, flags: JsonFlag) => {
      const { verify } = await import("./verify.ts");
      exit(await verify(capture, flags));
    });
  command
    .command("create")
    .description("capture a sandbox as it is now; it keeps running")
    .argument("<sandbox>", "its name, id, or a unique beginning of its id")
    .option("--json", "print the capture as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw capture create web")
    .action(async (sandbox: string, flags: JsonFlag) => {
      const { create } = await import("./create.ts");
      await create(sandbox, flags);
      exit(0);
    });
  for (const [name, pinned, description] of [
    ["pin", true, "pin captures, so that retention does not remove them"],
    ["unpin", false, "unpin captures, so that retention applies to them again"],
  ] as const)
    command
      .command(name)
      .description(description)
      .argument("<capture...>", REFERENCE)
      .option("--json", "print the result as JSON")
      .addHelpText("after", `\nExample:\n  $ thaw capture ${name} latest`)
      .action(async (captures: string[], flags: JsonFlag) => {
        const { actOnEach } = await import("../act-on-each.ts");
        exit(await actOnEach(captures, (client, capture) => client.captures.pin(capture, pinned), flags));
      });
  command
    .command("rm")
    .description("remove captures")
    .argument("<capture...>", REFERENCE)
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw capture rm fail-7k2qxz")
    .action(async (captures: string[], flags: JsonFlag) => {
      const { actOnEach } = await import("../act-on-each.ts");
      exit(await actOnEach(captures, (client, capture) => client.captures.remove(capture), flags));
    });
  addTravelCommands(command, "capture", exit);
};
