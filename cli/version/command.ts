import { findOwnVersion } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatPairs } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";
import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .option("--json", "print the versions as JSON")
    .addHelpText("after", "\nStarts no daemon.\n\nExample:\n  $ thaw version")
    .action(async (flags: { json?: boolean }) => {
      const client = findOwnVersion().version;
      const daemon = await withClient(async (thaw) => (await thaw.host.info()).version, {
        autostart: false,
      }).catch(() => null);
      if (flags.json === true) printJson({ client, daemon });
      else
        writeOut(
          formatPairs([
            ["client", client],
            ["daemon", daemon ?? "does not answer: thaw daemon status"],
          ]),
        );
      exit(0);
    });
};
