import { Option } from "commander";
import { ThawError } from "../../client/index.ts";
import type { Define } from "../verbs.ts";
import type { UsageFlags } from "./usage.ts";

export const define: Define = (command, exit) => {
  command
    .argument("[sandbox]", "its name, id, or a unique beginning of its id; default: the use of all sandboxes")
    .addOption(
      new Option("--sort <column>", "order of the sandboxes (default: cpu)").choices([
        "cpu",
        "memory",
        "name",
      ]),
    )
    .option("--no-stream", "print the table of sandboxes once")
    .option("--json", "print processes and listening ports, or one sample of all sandboxes, as JSON")
    .addHelpText(
      "after",
      `
With a sandbox: its processes, as the guest reports them, at most 256. A sandbox that is not running has none.
Without: running and paused sandboxes, drawn again every 2 seconds on a terminal, until Ctrl-C; once in a pipe.
CPU is measured since the sample before; 100% is one processor of the host. MEMORY is the machine's own memory plus its share of common memory (PSS).

Examples:
  $ thaw top
  $ thaw top --sort memory --no-stream
  $ thaw top web`,
    )
    .action(async (sandbox: string | undefined, flags: UsageFlags) => {
      if (sandbox === undefined) {
        const { showUsage } = await import("./usage.ts");
        return exit(await showUsage(flags));
      }
      if (flags.sort !== undefined || !flags.stream)
        throw new ThawError("usage", "--sort and --no-stream are of the table of all sandboxes", {
          hint: "thaw top",
        });
      const { top } = await import("./top.ts");
      await top(sandbox, flags);
      exit(0);
    });
};
