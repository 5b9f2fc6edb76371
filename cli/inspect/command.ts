import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<name...>", "sandboxes, snapshots or captures: names, tags, ids, or unique beginnings of ids")
    .option(
      "-f, --format <template>",
      "print one line per object, as in '{{.state}} {{.resources.memoryMib}}'",
    )
    .option("--json", "print JSON; this is the default")
    .addHelpText("after", "\nExamples:\n  $ thaw inspect web\n  $ thaw inspect -f '{{.state}}' web")
    .action(async (names: string[], flags: { format?: string }) => {
      const { inspect } = await import("./inspect.ts");
      exit(await inspect(names, flags));
    });
};
