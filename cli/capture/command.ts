import { Option } from "commander";
import { parseDuration } from "../arguments/duration.ts";
import { addTravelCommands } from "../travel/commands.ts";
import { addReadFlags, type ReadFlags } from "../travel/flags.ts";
import type { Define } from "../verbs.ts";
import type { DiffFlags } from "./diff.ts";
import type { ListFlags } from "./list.ts";

type JsonFlag = { json?: boolean };
const reference = "an id, a unique beginning of one, or latest";

export const define: Define = (command, exit) => {
  command.addHelpText("after", "\nExample:\n  $ thaw capture ls && thaw replay latest");
  command
    .command("ls")
    .description("list captures, newest first")
    .addOption(
      new Option("--trigger <trigger>", "only those with this trigger").choices([
        ...["exit", "signal", "timeout", "oom", "panic", "cancel", "manual"],
      ]),
    )
    .option("--repo <owner/name>", "only those of this repository")
    .option("--branch <name>", "only those of this branch or tag")
    .option("--pr <number>", "only those of this pull request")
    .option("--fingerprint <hex>", "only those of failures like this one")
    .option("--since <duration>", "only those not older than 10m, 2h, 3d", parseDuration)
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
    .description("show a capture's case: what ran, how it ended, what the machine was doing")
    .argument("<capture>", reference)
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
      .description("say how a capture can be replayed here: memory, disk or files, and why not")
      .argument("<capture>", `${reference}; or one in a store: oci:HOST/REPOSITORY:TAG, dir:PATH, a file`)
      .option("--json", "print it as JSON"),
  )
    .addHelpText(
      "after",
      `
Of a capture in a store only its outline is read, and nothing of it fetched. The exit code is 1 when it can't be replayed at all.

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
    .description("compare two captures: what was run, output, end, processes, ports, network, files")
    .argument("<capture>", reference)
    .argument(
      "[other]",
      "another; default: the newest of the same command, one that went well if there is one",
    )
    .option("--files <path>", "also what is at and beneath this path of both")
    .option("--json", "print the comparison as JSON")
    .addHelpText(
      "after",
      `
What only the first has is shown with -, what only the second has with +, and » marks the first difference. Numbers, addresses and the
like that vary from run to run are no difference. The exit code is 1 when there is one.

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
    .description("compare every part with its digest, and thaw the machine on trial")
    .argument("<capture>", reference)
    .option("--json", "print the report as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw capture verify latest")
    .action(async (capture: string, flags: JsonFlag) => {
      const { verify } = await import("./verify.ts");
      exit(await verify(capture, flags));
    });
  command
    .command("create")
    .description("capture a sandbox as it is now; it goes on")
    .argument("<sandbox>", "its name, id, or a unique beginning of its id")
    .option("--json", "print the capture as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw capture create web")
    .action(async (sandbox: string, flags: JsonFlag) => {
      const { create } = await import("./create.ts");
      await create(sandbox, flags);
      exit(0);
    });
  for (const [name, pinned, description] of [
    ["pin", true, "keep captures whatever the retention says"],
    ["unpin", false, "leave captures to the retention again"],
  ] as const)
    command
      .command(name)
      .description(description)
      .argument("<capture...>", reference)
      .option("--json", "print the result as JSON")
      .addHelpText("after", `\nExample:\n  $ thaw capture ${name} latest`)
      .action(async (captures: string[], flags: JsonFlag) => {
        const { actOnEach } = await import("../act-on-each.ts");
        exit(await actOnEach(captures, (client, capture) => client.captures.pin(capture, pinned), flags));
      });
  command
    .command("rm")
    .description("remove captures")
    .argument("<capture...>", reference)
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw capture rm fail-7k2qxz")
    .action(async (captures: string[], flags: JsonFlag) => {
      const { actOnEach } = await import("../act-on-each.ts");
      exit(await actOnEach(captures, (client, capture) => client.captures.remove(capture), flags));
    });
  addTravelCommands(command, "capture", exit);
};
