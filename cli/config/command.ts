import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command.addHelpText("after", "\nExample:\n  $ thaw config set pool.base 2");
  command
    .command("set")
    .description("change a setting in the host's config.yaml")
    .argument("<key>", "pool.NAME, the size of one pool; or pool, for all pools")
    .argument("<value>", "of pool.NAME: 0 to 64 machines; of pool: auto or off")
    .option("--json", "print the pools as JSON")
    .addHelpText(
      "after",
      "\nNAME is a template's name or a snapshot's tag. With auto, pools follow the last hour's use.\nComments in config.yaml stay. To change other settings, edit the file; docs/RUNNER-HOST.md lists them.\n\nExamples:\n  $ thaw config set pool.base 2\n  $ thaw config set pool.base 0\n  $ thaw config set pool auto",
    )
    .action(async (key: string, value: string, flags: { json?: boolean }) => {
      const { set } = await import("./set.ts");
      await set(key, value, flags);
      exit(0);
    });
};
