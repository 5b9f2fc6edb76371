import { parsePort } from "../arguments/count.ts";
import { parseDuration } from "../arguments/duration.ts";
import type { Define } from "../verbs.ts";
import type { PreviewFlags } from "./preview.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<sandbox>", "the sandbox, by its name or id")
    .argument("<port>", "the port in the sandbox", parsePort)
    .option("--ttl <duration>", "how long the link is valid: 10m, 1h (default), 7d", parseDuration)
    .option("--public", "let everyone in who knows the address, without a link")
    .option("--rm", "end public access to the port, and make all existing links to it invalid")
    .option("--json", "print the preview as JSON")
    .addHelpText(
      "after",
      `
Opening the URL resumes a paused or stopped sandbox. To choose where previews are served: preview in config.yaml, see docs/NETWORK.md.

Examples:
  $ thaw preview web 8000
  $ thaw preview web 8000 --ttl 10m
  $ thaw preview web 8000 --rm`,
    )
    .action(async (name: string, port: number, flags: PreviewFlags) => {
      const { preview } = await import("./preview.ts");
      await preview(name, port, flags);
      exit(0);
    });
};
