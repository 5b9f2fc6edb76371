import { projectFileOption } from "../arguments/project-file.ts";
import { addListingFlags, type ListingFlags } from "../format/listing.ts";
import { addQuietFlag } from "../progress/quiet.ts";
import type { Define } from "../verbs.ts";
import type { BuildFlags } from "./build.ts";

export const define: Define = (command, exit) => {
  command.addHelpText("after", "\nExample:\n  $ thaw template build node");
  addQuietFlag(
    command
      .command("build")
      .description("build a template into a snapshot, unless the snapshot exists already")
      .argument(
        "<name|path>",
        "the name of a template in the project file or of a shipped one, or the path of a template.yaml or its folder",
      )
      .addOption(projectFileOption())
      .option("--force", "build again")
      .option("--verbose", "show the output of its steps")
      .option("--json", "print the snapshot as JSON"),
  )
    .addHelpText("after", "\nExample:\n  $ thaw template build ./ci/template.yaml")
    .action(async (template: string, flags: BuildFlags) => {
      const { build } = await import("./build.ts");
      await build(template, flags);
      exit(0);
    });
  addListingFlags(command.command("ls").description("list templates"), "the templates", "names")
    .addHelpText("after", "\nExample:\n  $ thaw template ls")
    .action(async (flags: ListingFlags) => {
      const { list } = await import("./list.ts");
      await list(flags);
      exit(0);
    });
  command
    .command("show")
    .description("show a template")
    .argument("<name>", "its name")
    .option("--json", "print the template as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw template show python")
    .action(async (name: string, flags: { json?: boolean }) => {
      const { show } = await import("./show.ts");
      await show(name, flags);
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
