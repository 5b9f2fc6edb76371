import { Option } from "commander";
import { projectFileOption } from "../arguments/project-file.ts";
import { runnerOption } from "../arguments/source.ts";
import { addListingFlags } from "../format/listing.ts";
import { addQuietFlag } from "../progress/quiet.ts";
import type { Define } from "../verbs.ts";
import type { BuildFlags } from "./build.ts";
import type { InitFlags } from "./init.ts";
import type { TemplateListFlags } from "./list.ts";
import type { ShowFlags } from "./show.ts";

export const define: Define = (command, exit) => {
  command
    .command("init")
    .description("write a commented template.yaml")
    .argument("[dir]", "the folder; it is made if it does not exist", ".")
    .option("--from <image>", "what it starts from", "debian:bookworm")
    .option("--json", "print the file's path as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw template init ci/shop && thaw template build ci/shop")
    .action(async (folder: string, flags: InitFlags) => {
      const { init } = await import("./init.ts");
      init(folder, flags);
      exit(0);
    });
  command.addHelpText("after", "\nExample:\n  $ thaw template build node");
  addQuietFlag(
    command
      .command("build")
      .description("build a template into a snapshot, unless the snapshot exists already")
      .argument(
        "<name|path|url>",
        "the name of a template in the project file or of a shipped one, the path of a template.yaml or its folder, or https://HOST/OWNER/REPO//PATH@COMMIT",
      )
      .addOption(projectFileOption())
      .addOption(runnerOption())
      .option("--force", "build again, every step")
      .addOption(
        new Option(
          "--refresh",
          "ask the mirror or the registry what is outdated, and build that again: the root file system and the steps after it",
        ).conflicts("watch"),
      )
      .option("--watch", "build again after each change in the template's folder, until Ctrl-C")
      .option("--verbose", "show the output of its steps")
      .option("--json", "print the snapshot as JSON"),
  )
    .addHelpText("after", "\nExample:\n  $ thaw template build ./ci/template.yaml")
    .action(async (template: string, flags: BuildFlags) => {
      if (flags.watch === true) return (await import("./watch.ts")).buildAndWatch(template, flags);
      const { build } = await import("./build.ts");
      await build(template, flags);
      exit(0);
    });
  addListingFlags(
    command
      .command("ls")
      .description(
        "list the templates of the project file, the shipped ones, and others that were built here",
      )
      .addOption(projectFileOption()),
    "the templates",
    "names",
  )
    .addHelpText(
      "after",
      `
OUTDATED counts packages with a newer version in the index that this host fetched last: when it made a root file system, or for thaw template build --refresh.
SIZE is what the snapshots that were built of a template have on the disk. STEPS are the machines that are kept after its steps, and their size.

Example:
  $ thaw template ls`,
    )
    .action(async (flags: TemplateListFlags) => {
      const { list } = await import("./list.ts");
      await list(flags);
      exit(0);
    });
  command
    .command("show")
    .description("show a template, what is built of it, and its kept steps")
    .argument("<name|path|url>", "as of `thaw template build`, or the name of one that was built here")
    .addOption(projectFileOption())
    .option("--recipe", "print the text of its recipe only")
    .addOption(new Option("--json", "print the template as JSON").conflicts("recipe"))
    .addHelpText(
      "after",
      "\nExamples:\n  $ thaw template show python\n  $ thaw template show python --recipe",
    )
    .action(async (name: string, flags: ShowFlags) => {
      const { show } = await import("./show.ts");
      await show(name, flags);
      exit(0);
    });
  command
    .command("rm")
    .description("remove the snapshots that were built of a template, and its steps; the recipe stays")
    .argument("<name...>", "names")
    .option("--json", "print what was removed as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw template rm shop")
    .action(async (names: string[], flags: { json?: boolean }) => {
      const { remove } = await import("./remove.ts");
      await remove(names, flags);
      exit(0);
    });
  command
    .command("prune")
    .description("remove kept steps that no built template needs")
    .option("--dry-run", "only print what would be removed, and why")
    .option("--json", "print the report as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw template prune --dry-run")
    .action(async (flags: { dryRun?: boolean; json?: boolean }) => {
      const { prune } = await import("./remove.ts");
      await prune(flags);
      exit(0);
    });
  command
    .command("edit")
    .description("open a template's recipe in $EDITOR; a shipped template is copied to this folder first")
    .argument("<name|path>", "a name, a template.yaml, or its folder")
    .argument(
      "[file]",
      "where to copy a shipped template (default: ./NAME.yaml); an existing file is opened as it is",
    )
    .addHelpText("after", "\nExample:\n  $ thaw template edit node && thaw template build ./node.yaml")
    .action(async (template: string, file: string | undefined) => {
      const { edit } = await import("./edit.ts");
      exit(await edit(template, file));
    });
};
