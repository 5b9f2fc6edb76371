import { withClient } from "../connect.ts";
import { printJson } from "../output.ts";
import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<sandbox...>", "names, ids, or unique beginnings of ids")
    .option("--json", "print JSON, as it does anyway")
    .addHelpText("after", "\nExample:\n  $ thaw inspect web | jq -r '.[0].state'")
    .action(async (sandboxes: string[]) => {
      printJson(
        await withClient((client) =>
          Promise.all(sandboxes.map(async (name) => (await client.sandboxes.get(name)).info)),
        ),
      );
      exit(0);
    });
};
