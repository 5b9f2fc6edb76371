import { parsePort } from "../arguments/count.ts";
import { parseDuration } from "../arguments/duration.ts";
import type { Define } from "../verbs.ts";
import type { PreviewFlags } from "./preview.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<sandbox>", "the sandbox, by its name or id")
    .argument("<port>", "the port in the sandbox", parsePort)
    .option("--ttl <duration>", "for how long the link is good: 10m, 1h (default), 7d", parseDuration)
    .option("--public", "let in whoever knows the address, without a link")
    .option("--rm", "end public access to the port, and every link to it that was made so far")
    .option("--json", "print the preview as JSON")
    .addHelpText(
      "after",
      `
Prints an address for a browser. Opening it wakes a paused or frozen sandbox. Where it is served: preview in config.yaml, docs/NETWORK.md.

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
