import { Option } from "commander";
import { parseDuration } from "../arguments/duration.ts";
import type { Define } from "../verbs.ts";
import type { UiFlags } from "./ui.ts";

export const define: Define = (command, exit) => {
  command
    .addOption(
      new Option(
        "--rights <rights>",
        "read: see everything; operate: also create, change and remove; admin: also host settings and tokens",
      )
        .choices(["read", "operate", "admin"])
        .default("operate"),
    )
    .option(
      "--ttl <duration>",
      "the browser stays logged in for this time: 1h, 12h (default), 7d",
      parseDuration,
    )
    .option("--no-open", "only print the link")
    .option("--json", "print the link as JSON, and open nothing")
    .addHelpText(
      "after",
      `
The link works once, within a minute. It logs the browser in; thaw token ls lists browsers that are logged in, thaw token rm logs them out.
If config.yaml names no address to listen at, the daemon serves the page to this machine only, from now on until no browser is logged in.

Examples:
  $ thaw ui
  $ thaw ui --rights read --no-open
  $ thaw --context ci-3 ui`,
    )
    .action(async (flags: UiFlags) => {
      const { ui } = await import("./ui.ts");
      await ui(flags);
      exit(0);
    });
};
